//! Evaluation, in which every step, byte and level is counted.
//!
//! Each result of a term is handed to the function that goes on with it, so that no result is
//! held longer than it is needed and nothing is evaluated that nobody asks for. A value knows
//! where in the object it stands, for as long as it does.

use std::borrow::Cow;
use std::rc::Rc;

use jaq_core::ops::{Cmp, Math};
use serde_json::{Map, Value};

use super::expr::{Access, Def, Expr, Pattern, Piece};
use super::{Defs, JqError, MAX_BYTES, MAX_DEPTH, MAX_STEPS, Step, natives};

/// A value, and where in the object it stands.
#[derive(Clone)]
pub(super) struct Item<'v> {
    pub(super) value: Val<'v>,
    /// `None` for a value that was made.
    place: Option<Place<'v>>,
}

/// A value of the object, or one that was made.
#[derive(Clone)]
pub(super) enum Val<'v> {
    Ref(&'v Value),
    Own(Rc<Value>),
}

impl Val<'_> {
    pub(super) fn get(&self) -> &Value {
        match self {
            Self::Ref(value) => value,
            Self::Own(value) => value,
        }
    }
}

/// A place in the object, from the inside out. The root is none.
type Place<'v> = Option<Rc<Way<'v>>>;

struct Way<'v> {
    step: Key<'v>,
    outer: Place<'v>,
    length: usize,
}

#[derive(Clone)]
pub(super) enum Key<'v> {
    Name(Cow<'v, str>),
    Place(usize),
}

impl<'v> Item<'v> {
    pub(super) fn made(value: Value) -> Self {
        Self {
            value: Val::Own(Rc::new(value)),
            place: None,
        }
    }

    /// What stands at `key` within this item, if this one stands anywhere.
    fn child(&self, key: Key<'v>, value: Val<'v>) -> Self {
        let place = self.place.as_ref().map(|outer| {
            Some(Rc::new(Way {
                step: key,
                outer: outer.clone(),
                length: outer.as_ref().map_or(0, |outer| outer.length) + 1,
            }))
        });
        Self { value, place }
    }

    /// The same value as the place from which paths count.
    pub(super) fn into_root(self) -> Self {
        Self {
            value: self.value,
            place: Some(None),
        }
    }

    /// The steps to this item.
    pub(super) fn path(&self) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        let mut place = self.place.as_ref()?;
        while let Some(way) = place {
            steps.push(match &way.step {
                Key::Name(name) => Step::Name(name.to_string()),
                Key::Place(at) => Step::Place(*at),
            });
            place = &way.outer;
        }
        steps.reverse();
        Some(steps)
    }
}

/// Why the evaluation of a term ends before its results do.
pub(super) enum Stop {
    /// An error of the language, which `try` catches.
    Error(Value),
    Limit(JqError),
    /// To the label with this number.
    Break(u64),
    /// Whoever goes on with the results has stopped.
    Downstream,
}

pub(super) type Flow = Result<(), Stop>;

/// An error of the language.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Error(Value::String(message.into())))
}

/// What is bound at some place.
pub(super) type Env<'v> = Option<Rc<Bound<'v>>>;

pub(super) struct Bound<'v> {
    name: &'v str,
    what: What<'v>,
    outer: Env<'v>,
}

enum What<'v> {
    Value(Item<'v>),
    /// A parameter: the term and what it knows.
    Filter(&'v Expr, Env<'v>),
    Def(&'v Def),
    Label(u64),
}

fn bind<'v>(env: &Env<'v>, name: &'v str, what: What<'v>) -> Env<'v> {
    Some(Rc::new(Bound {
        name,
        what,
        outer: env.clone(),
    }))
}

/// What goes on with a result.
pub(super) type Then<'t, 'v> = &'t mut dyn FnMut(&mut Run<'v>, Item<'v>) -> Flow;

/// One evaluation.
pub(super) struct Run<'v> {
    defs: &'v Defs,
    steps: u64,
    bytes: u64,
    depth: u32,
    labels: u64,
}

pub(super) fn paths<'v>(
    main: &'v Expr,
    defs: &'v Defs,
    object: &'v Value,
    most: usize,
) -> Result<Vec<Vec<Step>>, JqError> {
    let mut run = Run {
        defs,
        steps: MAX_STEPS,
        bytes: MAX_BYTES,
        depth: 0,
        labels: 0,
    };
    let mut found = Vec::new();
    let root = Item {
        value: Val::Ref(object),
        place: Some(None),
    };
    let done = run.eval(main, &None, root, &mut |_, item| {
        let path = item.path().ok_or(Stop::Limit(JqError::NoPath))?;
        if path.is_empty() {
            return Err(Stop::Limit(JqError::Whole));
        }
        if found.len() == most {
            return Err(Stop::Limit(JqError::Limit(
                "it gives more than 10000 paths",
            )));
        }
        found.push(path);
        Ok(())
    });
    match done {
        Err(Stop::Limit(error)) => Err(error),
        // What can't be looked into isn't there, and what was found before counts.
        Ok(()) | Err(Stop::Error(_) | Stop::Break(_) | Stop::Downstream) => Ok(found),
    }
}

impl<'v> Run<'v> {
    /// Counts steps.
    pub(super) fn spend(&mut self, steps: u64) -> Flow {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Stop::Limit(JqError::Limit("more than a million steps"))),
        }
    }

    /// Counts the bytes of something that is about to be made, and the steps it takes.
    pub(super) fn allocate(&mut self, bytes: u64) -> Flow {
        self.spend(bytes / 8)?;
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(Stop::Limit(JqError::Limit("more than 4 MiB of values"))),
        }
    }

    /// A copy of a value, counted before it is made.
    pub(super) fn copy(&mut self, value: &Value) -> Result<Value, Stop> {
        self.allocate(size(value))?;
        Ok(value.clone())
    }

    /// Counts a look at all of a value.
    pub(super) fn look(&mut self, value: &Value) -> Flow {
        self.spend(size(value) / 8)
    }

    fn deeper<T>(&mut self, go: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth == MAX_DEPTH {
            return Err(Stop::Limit(JqError::Limit("calls nested too deep")));
        }
        self.depth += 1;
        let done = go(self);
        self.depth -= 1;
        done
    }

    /// Goes on with each result of a term.
    pub(super) fn eval(
        &mut self,
        expr: &'v Expr,
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        self.spend(1)?;
        match expr {
            Expr::Identity => then(self, input),
            Expr::Value(value) => then(
                self,
                Item {
                    value: Val::Ref(value),
                    place: None,
                },
            ),
            Expr::Variable(name) => {
                let item = self.variable(name, env)?;
                then(self, item)
            }
            Expr::Break(name) => self.leave(name, env),
            _ => self.deeper(|run| run.eval_inner(expr, env, input, then)),
        }
    }

    fn eval_inner(
        &mut self,
        expr: &'v Expr,
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        match expr {
            Expr::Pipe(left, right) => self.eval(left, env, input, &mut |run, item| {
                run.eval(right, env, item, then)
            }),
            Expr::Both(left, right) => {
                self.eval(left, env, input.clone(), then)?;
                self.eval(right, env, input, then)
            }
            Expr::Access(inner, access, optional) => {
                self.access(inner, access, *optional, env, input, then)
            }
            Expr::Call(name, arguments) => self.call(name, arguments, env, input, then),
            Expr::If(branches, otherwise) => {
                self.choose(branches, otherwise.as_deref(), env, input, then)
            }
            Expr::Compare(operator, left, right) => {
                self.two(left, right, env, input, &mut |run, a, b| {
                    let answer = run.compare(*operator, &a, &b)?;
                    then(run, Item::made(Value::Bool(answer)))
                })
            }
            Expr::Math(operator, left, right) => {
                self.two(left, right, env, input, &mut |run, a, b| {
                    let made = natives::math(run, *operator, a.value.get(), b.value.get())?;
                    then(run, Item::made(made))
                })
            }
            Expr::And(left, right) => self.logic(false, (left, right), env, input, then),
            Expr::Or(left, right) => self.logic(true, (left, right), env, input, then),
            Expr::Recurse => self.recurse(input, then),
            Expr::Bind(source, pattern, body) => {
                self.eval(source, env, input.clone(), &mut |run, item| {
                    run.bind_all(pattern, env, &input, item, &mut |run, env| {
                        run.eval(body, &env, input.clone(), then)
                    })
                })
            }
            Expr::Try(inner, caught) => self.attempt(inner, caught.as_deref(), env, input, then),
            Expr::Else(left, right) => self.otherwise(left, right, env, input, then),
            Expr::List(inner) => {
                let made = match inner {
                    Some(inner) => self.collect(inner, env, input)?,
                    None => Vec::new(),
                };
                then(self, Item::made(Value::Array(made)))
            }
            Expr::Object(members) => self.object(members, Map::new(), env, &input, then),
            Expr::Text(pieces) => self.text(pieces, String::new(), env, &input, then),
            Expr::Negate(inner) => self.eval(inner, env, input, &mut |run, item| {
                let made = natives::math(run, Math::Sub, &Value::from(0), item.value.get())?;
                then(run, Item::made(made))
            }),
            Expr::Label(name, inner) => self.labelled(name, inner, env, input, then),
            Expr::Reduce(source, pattern, start, step) => {
                self.reduce(source, pattern, (start, step), env, input, then)
            }
            Expr::Foreach(source, pattern, start, step, shown) => {
                let shown = shown.as_deref();
                self.foreach(source, pattern, (start, step, shown), env, input, then)
            }
            Expr::Define(defs, inner) => {
                let env = defs.iter().fold(env.clone(), |env, def| {
                    bind(&env, &def.name, What::Def(def))
                });
                self.eval(inner, &env, input, then)
            }
            Expr::Identity | Expr::Value(_) | Expr::Variable(_) | Expr::Break(_) => Ok(()),
        }
    }

    /// What is bound to a name. Long ways to it are counted.
    fn find<T>(
        &mut self,
        env: &Env<'v>,
        mut wanted: impl FnMut(&Rc<Bound<'v>>) -> Option<T>,
    ) -> Result<Option<T>, Stop> {
        let mut env = env;
        let mut passed = 0_u64;
        while let Some(bound) = env {
            if let Some(found) = wanted(bound) {
                self.spend(passed / 16)?;
                return Ok(Some(found));
            }
            passed += 1;
            env = &bound.outer;
        }
        self.spend(passed / 16)?;
        Ok(None)
    }

    fn variable(&mut self, name: &str, env: &Env<'v>) -> Result<Item<'v>, Stop> {
        let found = self.find(env, |bound| match &bound.what {
            What::Value(item) if bound.name == name => Some(item.clone()),
            _ => None,
        })?;
        // The reader has seen that it is bound.
        found.map_or_else(|| fail(format!("{name} is not bound")), Ok)
    }

    fn leave(&mut self, name: &str, env: &Env<'v>) -> Flow {
        let found = self.find(env, |bound| match bound.what {
            What::Label(label) if bound.name == name => Some(label),
            _ => None,
        })?;
        match found {
            Some(label) => Err(Stop::Break(label)),
            None => fail(format!("there is no label {name}")),
        }
    }

    /// All results of a term.
    pub(super) fn collect(
        &mut self,
        expr: &'v Expr,
        env: &Env<'v>,
        input: Item<'v>,
    ) -> Result<Vec<Value>, Stop> {
        let mut made = Vec::new();
        self.eval(expr, env, input, &mut |run, item| {
            made.push(run.copy(item.value.get())?);
            Ok(())
        })?;
        Ok(made)
    }

    /// The results of two terms, each with each.
    fn two(
        &mut self,
        left: &'v Expr,
        right: &'v Expr,
        env: &Env<'v>,
        input: Item<'v>,
        then: &mut dyn FnMut(&mut Self, Item<'v>, Item<'v>) -> Flow,
    ) -> Flow {
        self.eval(right, env, input.clone(), &mut |run, b| {
            run.eval(left, env, input.clone(), &mut |run, a| {
                then(run, a, b.clone())
            })
        })
    }

    fn compare(&mut self, operator: Cmp, a: &Item<'v>, b: &Item<'v>) -> Result<bool, Stop> {
        self.look(a.value.get())?;
        self.look(b.value.get())?;
        let order = natives::order(a.value.get(), b.value.get());
        Ok(match operator {
            Cmp::Lt => order.is_lt(),
            Cmp::Le => order.is_le(),
            Cmp::Gt => order.is_gt(),
            Cmp::Ge => order.is_ge(),
            Cmp::Eq => order.is_eq(),
            Cmp::Ne => order.is_ne(),
        })
    }

    fn logic(
        &mut self,
        stop: bool,
        (left, right): (&'v Expr, &'v Expr),
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        self.eval(left, env, input.clone(), &mut |run, item| {
            if truth(item.value.get()) == stop {
                return then(run, Item::made(Value::Bool(stop)));
            }
            run.eval(right, env, input.clone(), &mut |run, item| {
                then(run, Item::made(Value::Bool(truth(item.value.get()))))
            })
        })
    }

    fn choose(
        &mut self,
        branches: &'v [(Expr, Expr)],
        otherwise: Option<&'v Expr>,
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        match (branches.split_first(), otherwise) {
            (Some(((test, branch), rest)), _) => {
                self.eval(test, env, input.clone(), &mut |run, item| {
                    if truth(item.value.get()) {
                        run.eval(branch, env, input.clone(), then)
                    } else {
                        run.choose(rest, otherwise, env, input.clone(), then)
                    }
                })
            }
            (None, Some(otherwise)) => self.eval(otherwise, env, input, then),
            (None, None) => then(self, input),
        }
    }

    /// The value and all that is in it.
    pub(super) fn recurse(&mut self, item: Item<'v>, then: Then<'_, 'v>) -> Flow {
        self.spend(1)?;
        then(self, item.clone())?;
        if !matches!(item.value.get(), Value::Array(_) | Value::Object(_)) {
            return Ok(());
        }
        self.deeper(|run| run.each(&item, &mut |run, child| run.recurse(child, then)))
    }

    /// The members or elements of a value.
    pub(super) fn each(&mut self, item: &Item<'v>, then: Then<'_, 'v>) -> Flow {
        match &item.value {
            Val::Ref(Value::Array(items)) => {
                items.iter().enumerate().try_for_each(|(at, value)| {
                    self.spend(1)?;
                    then(self, item.child(Key::Place(at), Val::Ref(value)))
                })
            }
            Val::Ref(Value::Object(members)) => members.iter().try_for_each(|(name, value)| {
                self.spend(1)?;
                let key = Key::Name(Cow::Borrowed(name));
                then(self, item.child(key, Val::Ref(value)))
            }),
            Val::Own(made) => match &**made {
                Value::Array(items) => items.iter().enumerate().try_for_each(|(at, value)| {
                    self.spend(1)?;
                    let value = self.copy(value)?;
                    let key = Key::Place(at);
                    then(self, item.child(key, Val::Own(Rc::new(value))))
                }),
                Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                    self.spend(1)?;
                    let value = self.copy(value)?;
                    let key = Key::Name(Cow::Owned(name.clone()));
                    then(self, item.child(key, Val::Own(Rc::new(value))))
                }),
                other => fail(format!("{} has no elements", natives::kind(other))),
            },
            Val::Ref(other) => fail(format!("{} has no elements", natives::kind(other))),
        }
    }

    /// The member or element of `item` that `key` names; null where there is none.
    pub(super) fn at(&mut self, item: &Item<'v>, key: &Value) -> Result<Item<'v>, Stop> {
        const NULL: &Value = &Value::Null;
        let value = item.value.get();
        let (key, found): (Key<'v>, bool) = match (value, key) {
            (Value::Object(members), Value::String(name)) => (
                Key::Name(Cow::Owned(name.clone())),
                members.contains_key(name),
            ),
            (Value::Null, Value::String(name)) => (Key::Name(Cow::Owned(name.clone())), false),
            (Value::Array(items), Value::Number(number)) => {
                let at = number.as_f64().unwrap_or_default().floor();
                let at = if at < 0.0 {
                    at + items.len() as f64
                } else {
                    at
                };
                if at < 0.0 {
                    return Ok(Item::made(Value::Null));
                }
                let at = at as usize;
                (Key::Place(at), at < items.len())
            }
            (Value::Null, Value::Number(_)) => return Ok(Item::made(Value::Null)),
            (value, key) => {
                return fail(format!(
                    "{} can't be looked into with {}",
                    natives::kind(value),
                    natives::kind(key)
                ));
            }
        };
        let length = item.place.as_ref().and_then(|place| place.as_ref());
        if length.is_some_and(|way| way.length >= crate::patch::MAX_DEPTH) {
            return Err(Stop::Limit(JqError::Limit("a path of more than 256 steps")));
        }
        let inner = match (&item.value, found, &key) {
            (_, false, _) => Val::Ref(NULL),
            (Val::Ref(value), true, Key::Name(name)) => {
                Val::Ref(value.get(name.as_ref()).unwrap_or(NULL))
            }
            (Val::Ref(value), true, Key::Place(at)) => Val::Ref(value.get(at).unwrap_or(NULL)),
            (Val::Own(value), true, Key::Name(name)) => {
                let inner = self.copy(value.get(name.as_ref()).unwrap_or(NULL))?;
                Val::Own(Rc::new(inner))
            }
            (Val::Own(value), true, Key::Place(at)) => {
                let inner = self.copy(value.get(at).unwrap_or(NULL))?;
                Val::Own(Rc::new(inner))
            }
        };
        Ok(item.child(key, inner))
    }

    fn access(
        &mut self,
        inner: &'v Expr,
        access: &'v Access,
        optional: bool,
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        self.eval(inner, env, input.clone(), &mut |run, item| {
            if optional {
                return run.guarded(
                    &mut |run, then| run.access_one(access, env, &input, &item, then),
                    then,
                    &mut |_, _| Ok(()),
                );
            }
            run.access_one(access, env, &input, &item, then)
        })
    }

    fn access_one(
        &mut self,
        access: &'v Access,
        env: &Env<'v>,
        input: &Item<'v>,
        item: &Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        match access {
            Access::Each => self.each(item, then),
            Access::At(key) => {
                if let Expr::Value(key) = &**key {
                    let found = self.at(item, key)?;
                    return then(self, found);
                }
                self.eval(key, env, input.clone(), &mut |run, key| {
                    let found = run.at(item, key.value.get())?;
                    then(run, found)
                })
            }
            Access::Slice(from, to) => {
                self.slice(from.as_deref(), to.as_deref(), env, input, item, then)
            }
        }
    }

    /// A part of a list or text. It stands nowhere: its elements do, and are named one by one.
    fn slice(
        &mut self,
        from: Option<&'v Expr>,
        to: Option<&'v Expr>,
        env: &Env<'v>,
        input: &Item<'v>,
        item: &Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        const NONE: &Expr = &Expr::Value(Value::Null);
        let (from, to) = (from.unwrap_or(NONE), to.unwrap_or(NONE));
        self.two(from, to, env, input.clone(), &mut |run, from, to| {
            run.look(item.value.get())?;
            let made = natives::slice(item.value.get(), from.value.get(), to.value.get())?;
            run.allocate(size(&made))?;
            then(run, Item::made(made))
        })
    }

    /// Runs `inner` with the results going to `then`. An error of `inner` itself goes to `caught`;
    /// one of `then` passes.
    fn guarded(
        &mut self,
        inner: &mut dyn FnMut(&mut Self, Then<'_, 'v>) -> Flow,
        then: Then<'_, 'v>,
        caught: &mut dyn FnMut(&mut Self, Value) -> Flow,
    ) -> Flow {
        let mut downstream = None;
        let done = inner(self, &mut |run, item| {
            then(run, item).map_err(|stop| {
                downstream = Some(stop);
                Stop::Downstream
            })
        });
        match (done, downstream) {
            (_, Some(stop)) => Err(stop),
            (Err(Stop::Error(error)), None) => caught(self, error),
            (done, None) => done,
        }
    }

    fn attempt(
        &mut self,
        inner: &'v Expr,
        caught: Option<&'v Expr>,
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        let then = std::cell::RefCell::new(then);
        self.guarded(
            &mut |run, then| run.eval(inner, env, input.clone(), then),
            &mut |run, item| (then.borrow_mut())(run, item),
            &mut |run, error| match caught {
                Some(caught) => run.eval(caught, env, Item::made(error), &mut **then.borrow_mut()),
                None => Ok(()),
            },
        )
    }

    /// `left // right`: the results of `left` that are neither null nor false, or if there is
    /// none, those of `right`. An error of `left` ends it without being told.
    fn otherwise(
        &mut self,
        left: &'v Expr,
        right: &'v Expr,
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        let mut any = false;
        self.guarded(
            &mut |run, then| run.eval(left, env, input.clone(), then),
            &mut |run, item| {
                if !truth(item.value.get()) {
                    return Ok(());
                }
                any = true;
                then(run, item)
            },
            &mut |_, _| Ok(()),
        )?;
        if any {
            return Ok(());
        }
        self.eval(right, env, input, then)
    }

    fn labelled(
        &mut self,
        name: &'v str,
        inner: &'v Expr,
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        let label = self.label();
        let env = bind(env, name, What::Label(label));
        let done = self.eval(inner, &env, input, then);
        self.until(label, done)
    }

    /// A label that no other term breaks to.
    pub(super) fn label(&mut self) -> u64 {
        self.labels += 1;
        self.labels
    }

    /// The end of what may break to `label`.
    pub(super) fn until(&mut self, label: u64, done: Flow) -> Flow {
        match done {
            Err(Stop::Break(to)) if to == label => Ok(()),
            done => done,
        }
    }

    fn object(
        &mut self,
        members: &'v [(Expr, Expr)],
        made: Map<String, Value>,
        env: &Env<'v>,
        input: &Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        let Some(((key, value), rest)) = members.split_first() else {
            return then(self, Item::made(Value::Object(made)));
        };
        self.two(key, value, env, input.clone(), &mut |run, key, value| {
            let Some(name) = key.value.get().as_str() else {
                return fail("the name of a member is a text");
            };
            let mut made = match run.copy(&Value::Object(made.clone()))? {
                Value::Object(made) => made,
                _ => Map::new(),
            };
            made.insert(name.to_owned(), run.copy(value.value.get())?);
            run.deeper(|run| run.object(rest, made, env, input, then))
        })
    }

    fn text(
        &mut self,
        pieces: &'v [Piece],
        made: String,
        env: &Env<'v>,
        input: &Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        let Some((piece, rest)) = pieces.split_first() else {
            return then(self, Item::made(Value::String(made)));
        };
        match piece {
            Piece::Text(more) => {
                self.allocate((made.len() + more.len()) as u64)?;
                self.deeper(|run| run.text(rest, made + more, env, input, then))
            }
            Piece::Expr(expr) => self.eval(expr, env, input.clone(), &mut |run, item| {
                let more = natives::to_text(run, item.value.get())?;
                run.allocate((made.len() + more.len()) as u64)?;
                run.text(rest, format!("{made}{more}"), env, input, then)
            }),
        }
    }

    /// Binds what a pattern takes out of a value.
    fn bind_all(
        &mut self,
        pattern: &'v Pattern,
        env: &Env<'v>,
        input: &Item<'v>,
        item: Item<'v>,
        then: &mut dyn FnMut(&mut Self, Env<'v>) -> Flow,
    ) -> Flow {
        match pattern {
            Pattern::Variable(name) => then(self, bind(env, name, What::Value(item))),
            Pattern::List(items) => self.bind_items(items, 0, env, input, &item, then),
            Pattern::Object(members) => self.bind_members(members, env, input, &item, then),
        }
    }

    fn bind_items(
        &mut self,
        items: &'v [Pattern],
        at: usize,
        env: &Env<'v>,
        input: &Item<'v>,
        item: &Item<'v>,
        then: &mut dyn FnMut(&mut Self, Env<'v>) -> Flow,
    ) -> Flow {
        let Some(pattern) = items.get(at) else {
            return then(self, env.clone());
        };
        let found = self.at(item, &Value::from(at))?;
        self.deeper(|run| {
            run.bind_all(pattern, env, input, found, &mut |run, env| {
                run.bind_items(items, at + 1, &env, input, item, then)
            })
        })
    }

    fn bind_members(
        &mut self,
        members: &'v [(Expr, Pattern)],
        env: &Env<'v>,
        input: &Item<'v>,
        item: &Item<'v>,
        then: &mut dyn FnMut(&mut Self, Env<'v>) -> Flow,
    ) -> Flow {
        let Some(((key, pattern), rest)) = members.split_first() else {
            return then(self, env.clone());
        };
        self.eval(key, env, input.clone(), &mut |run, key| {
            let found = run.at(item, key.value.get())?;
            run.bind_all(pattern, env, input, found, &mut |run, env| {
                run.bind_members(rest, &env, input, item, then)
            })
        })
    }

    /// The last state after a step for each result of the source.
    fn reduce(
        &mut self,
        source: &'v Expr,
        pattern: &'v Pattern,
        (start, step): (&'v Expr, &'v Expr),
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        self.eval(start, env, input.clone(), &mut |run, start| {
            let mut state = Some(start);
            run.eval(source, env, input.clone(), &mut |run, item| {
                run.bind_all(pattern, env, &input, item, &mut |run, env| {
                    let Some(now) = state.take() else {
                        return Ok(());
                    };
                    run.eval(step, &env, now, &mut |_, item| {
                        state = Some(item);
                        Ok(())
                    })
                })
            })?;
            match state {
                Some(state) => then(run, state),
                None => Ok(()),
            }
        })
    }

    /// The states after each step.
    fn foreach(
        &mut self,
        source: &'v Expr,
        pattern: &'v Pattern,
        (start, step, shown): (&'v Expr, &'v Expr, Option<&'v Expr>),
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        self.eval(start, env, input.clone(), &mut |run, start| {
            let mut state = start;
            run.eval(source, env, input.clone(), &mut |run, item| {
                run.bind_all(pattern, env, &input, item, &mut |run, env| {
                    let now = state.clone();
                    run.eval(step, &env, now, &mut |run, item| {
                        state = item.clone();
                        match shown {
                            Some(shown) => run.eval(shown, &env, item, then),
                            None => then(run, item),
                        }
                    })
                })
            })
        })
    }

    fn call(
        &mut self,
        name: &'v str,
        arguments: &'v [Expr],
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        enum Found<'v> {
            Filter(&'v Expr, Env<'v>),
            Value(Item<'v>),
            Def(&'v Def, Env<'v>),
        }
        let count = arguments.len();
        let found = self.find(env, |bound| match &bound.what {
            What::Filter(expr, known) if count == 0 && bound.name == name => {
                Some(Found::Filter(expr, known.clone()))
            }
            // A parameter `$x` can be called as `x`, too.
            What::Value(item) if count == 0 && bound.name.strip_prefix('$') == Some(name) => {
                Some(Found::Value(item.clone()))
            }
            What::Def(def) if def.parameters.len() == count && bound.name == name => {
                Some(Found::Def(def, Some(Rc::clone(bound))))
            }
            _ => None,
        })?;
        match found {
            Some(Found::Filter(expr, known)) => self.eval(expr, &known, input, then),
            Some(Found::Value(item)) => then(self, item),
            Some(Found::Def(def, known)) => {
                self.enter(def, &def.parameters, known, arguments, env, input, then)
            }
            None => match self.defs.get(&(name.to_owned(), count)) {
                Some(def) => {
                    let known = bind(&None, &def.name, What::Def(def));
                    self.enter(def, &def.parameters, known, arguments, env, input, then)
                }
                None => natives::call(self, name, arguments, env, input, then),
            },
        }
    }

    /// Binds the parameters that are left, then goes on with the body.
    #[expect(clippy::too_many_arguments, reason = "a call has so many parts")]
    fn enter(
        &mut self,
        def: &'v Def,
        parameters: &'v [String],
        known: Env<'v>,
        arguments: &'v [Expr],
        env: &Env<'v>,
        input: Item<'v>,
        then: Then<'_, 'v>,
    ) -> Flow {
        let (Some((parameter, parameters)), Some((argument, arguments))) =
            (parameters.split_first(), arguments.split_first())
        else {
            return self.eval(&def.body, &known, input, then);
        };
        if !parameter.starts_with('$') {
            let known = bind(&known, parameter, What::Filter(argument, env.clone()));
            return self.enter(def, parameters, known, arguments, env, input, then);
        }
        self.eval(argument, env, input.clone(), &mut |run, item| {
            let known = bind(&known, parameter, What::Value(item));
            run.enter(def, parameters, known, arguments, env, input.clone(), then)
        })
    }
}

/// Whether a value counts as true: all but null and false.
pub(super) fn truth(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// About how many bytes a value takes.
pub(super) fn size(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
        Value::String(text) => 32 + text.len() as u64,
        Value::Array(items) => 32 + items.iter().map(size).sum::<u64>(),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| 48 + name.len() as u64 + size(value);
            32 + members.iter().map(member).sum::<u64>()
        }
    }
}
