//! Expressions as `jaq-core` reads them, checked and made our own.

use std::collections::HashMap;
use std::rc::Rc;

use jaq_core::load::lex::{self, StrPart};
use jaq_core::load::parse::{self, BinaryOp, Term};
use jaq_core::ops::{Cmp, Math};
use jaq_core::path;
use serde_json::{Number, Value};

use super::{Defs, natives};

/// How deep an expression may be nested, and how many operators it may have in a row. The
/// parser and what walks the tree take a stack frame for each.
const MAX_NESTED: usize = 24;
const MAX_OPERATORS: usize = 96;

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    /// `.`
    Identity,
    /// `..`
    Recurse,
    Value(Value),
    /// Texts and what is interpolated between them.
    Text(Vec<Piece>),
    List(Option<Box<Expr>>),
    Object(Vec<(Expr, Expr)>),
    Negate(Box<Expr>),
    Pipe(Box<Expr>, Box<Expr>),
    /// `a as $x | b`, with all the variables of the pattern.
    Bind(Box<Expr>, Pattern, Box<Expr>),
    Both(Box<Expr>, Box<Expr>),
    /// `a // b`
    Else(Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Math(Math, Box<Expr>, Box<Expr>),
    Compare(Cmp, Box<Expr>, Box<Expr>),
    Label(String, Box<Expr>),
    Break(String),
    Reduce(Box<Expr>, Pattern, Box<Expr>, Box<Expr>),
    Foreach(Box<Expr>, Pattern, Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    Try(Box<Expr>, Option<Box<Expr>>),
    If(Vec<(Expr, Expr)>, Option<Box<Expr>>),
    Define(Vec<Def>, Box<Expr>),
    Call(String, Vec<Expr>),
    Variable(String),
    /// An access to a member or element, or to all or some of them.
    Access(Box<Expr>, Access, bool),
}

#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Expr(Expr),
}

/// What is looked at. The terms see the value that the whole access began with.
#[derive(Debug)]
pub(super) enum Access {
    At(Box<Expr>),
    Each,
    Slice(Option<Box<Expr>>, Option<Box<Expr>>),
}

#[derive(Debug)]
pub(super) enum Pattern {
    Variable(String),
    List(Vec<Pattern>),
    Object(Vec<(Expr, Pattern)>),
}

impl Pattern {
    /// The names of all variables, which are bound even where nothing is found for them.
    fn names(&self, out: &mut Vec<String>) {
        match self {
            Self::Variable(name) => out.push(name.clone()),
            Self::List(items) => items.iter().for_each(|item| item.names(out)),
            Self::Object(members) => members.iter().for_each(|(_, item)| item.names(out)),
        }
    }
}

/// A definition of a filter.
#[derive(Debug)]
pub(super) struct Def {
    pub(super) name: String,
    /// A `$` in front stands for a parameter that is a value.
    pub(super) parameters: Vec<String>,
    pub(super) body: Expr,
}

/// What is known at one place of an expression.
#[derive(Clone, Default)]
struct Scope(Option<Rc<Known>>);

struct Known {
    what: Name,
    outer: Scope,
}

#[derive(PartialEq)]
enum Name {
    Variable(String),
    Label(String),
    Filter(String, usize),
}

impl Scope {
    fn with(&self, what: Name) -> Self {
        Self(Some(Rc::new(Known {
            what,
            outer: self.clone(),
        })))
    }

    fn has(&self, what: &Name) -> bool {
        let mut scope = self;
        while let Some(known) = &scope.0 {
            if known.what == *what {
                return true;
            }
            scope = &known.outer;
        }
        false
    }

    fn with_pattern(&self, pattern: &Pattern) -> Self {
        let mut names = Vec::new();
        pattern.names(&mut names);
        names
            .into_iter()
            .fold(self.clone(), |scope, name| scope.with(Name::Variable(name)))
    }

    fn with_def(&self, name: &str, parameters: usize) -> Self {
        self.with(Name::Filter(name.to_owned(), parameters))
    }
}

/// Reads an expression that may call what is defined in `defs`.
pub(super) fn read(text: &str, defs: &Defs) -> Result<Expr, String> {
    let tokens = tokens(text)?;
    let term = parse::Parser::new(&tokens)
        .parse(|parser| parser.term())
        .map_err(|errors| unexpected(text, errors.first()))?;
    let reader = Reader { text, defs };
    reader.term(&term, &Scope::default())
}

/// Reads definitions, each of which may call those before it and itself.
pub(super) fn read_definitions(text: &str) -> Result<Defs, String> {
    let tokens = lex(text)?;
    let read = parse::Parser::new(&tokens)
        .parse(|parser| parser.defs())
        .map_err(|errors| unexpected(text, errors.first()))?;
    let mut defs = HashMap::new();
    for def in &read {
        let own = {
            let reader = Reader { text, defs: &defs };
            let scope = Scope::default();
            reader.def(def, &scope)?
        };
        defs.insert((own.name.clone(), own.parameters.len()), own);
    }
    Ok(defs)
}

fn lex(text: &str) -> Result<Vec<lex::Token<&str>>, String> {
    lex::Lexer::new(text).lex().map_err(|errors| {
        let Some((expected, found)) = errors.first() else {
            return "can't be read".to_owned();
        };
        let at = position(text, found);
        let expected = match expected {
            lex::Expect::Token => "this is no part of the language",
            other => other.as_str(),
        };
        format!("{text:?} at character {at}: {expected}")
    })
}

/// The tokens, if there are no more of them in a row, and none deeper, than a tree of them
/// can be walked.
fn tokens(text: &str) -> Result<Vec<lex::Token<&str>>, String> {
    let mut depth = 0_usize;
    let mut deepest = 0_usize;
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_NESTED {
        return Err(format!(
            "a jq expression is nested at most {MAX_NESTED} levels deep"
        ));
    }
    let tokens = lex(text)?;
    let mut operators = 0;
    count_operators(&tokens, &mut operators);
    if operators > MAX_OPERATORS {
        return Err(format!(
            "a jq expression has at most {MAX_OPERATORS} operators and keywords"
        ));
    }
    Ok(tokens)
}

fn count_operators(tokens: &[lex::Token<&str>], count: &mut usize) {
    for lex::Token(text, token) in tokens {
        match token {
            lex::Tok::Block(inner) => count_operators(inner, count),
            lex::Tok::Str(parts) => {
                for part in parts {
                    if let StrPart::Term(token) = part {
                        count_operators(std::slice::from_ref(token), count);
                    }
                }
            }
            lex::Tok::Sym if !text.starts_with(['.', ')', ']', '}', ';', ':', '?']) => *count += 1,
            lex::Tok::Word
                if matches!(
                    *text,
                    "def" | "if" | "try" | "label" | "reduce" | "foreach" | "as" | "and" | "or"
                ) =>
            {
                *count += 1;
            }
            _ => {}
        }
    }
}

/// Where `part` begins in `text`, in characters from one.
fn position(text: &str, part: &str) -> usize {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.get(..start).map_or(0, |before| before.chars().count()) + 1
}

fn unexpected(text: &str, error: Option<&parse::TError<'_, &str>>) -> String {
    let Some((expected, found)) = error else {
        return format!("{text:?} can't be read");
    };
    match found {
        Some(lex::Token(found, _)) => format!(
            "{text:?} at character {}: expected {}",
            position(text, found),
            expected.as_str()
        ),
        None => format!("{text:?} ends where {} is expected", expected.as_str()),
    }
}

/// What belongs into a program, not into a rule.
const OUTSIDE: &[&str] = &[
    "debug",
    "env",
    "halt",
    "halt_error",
    "input",
    "input_filename",
    "input_line_number",
    "inputs",
    "localtime",
    "now",
    "stderr",
    "strflocaltime",
];

struct Reader<'t> {
    text: &'t str,
    defs: &'t Defs,
}

impl<'t> Reader<'t> {
    fn error<T>(&self, at: &str, problem: &str) -> Result<T, String> {
        Err(format!(
            "{:?} at character {}: {problem}",
            self.text,
            position(self.text, at)
        ))
    }

    fn boxed(&self, term: &Term<&'t str>, scope: &Scope) -> Result<Box<Expr>, String> {
        self.term(term, scope).map(Box::new)
    }

    fn all(&self, terms: &[Term<&'t str>], scope: &Scope) -> Result<Vec<Expr>, String> {
        terms.iter().map(|term| self.term(term, scope)).collect()
    }

    fn def(&self, def: &parse::Def<&'t str>, scope: &Scope) -> Result<Def, String> {
        let own = scope.with_def(def.name, def.args.len());
        let inner = def
            .args
            .iter()
            .fold(own, |scope, name| match name.strip_prefix('$') {
                Some(plain) => scope
                    .with(Name::Variable((*name).to_owned()))
                    .with_def(plain, 0),
                None => scope.with_def(name, 0),
            });
        Ok(Def {
            name: def.name.to_owned(),
            parameters: def.args.iter().map(|name| (*name).to_owned()).collect(),
            body: self.term(&def.body, &inner)?,
        })
    }

    fn pattern(&self, pattern: &parse::Pattern<&'t str>, scope: &Scope) -> Result<Pattern, String> {
        Ok(match pattern {
            parse::Pattern::Var(name) => Pattern::Variable((*name).to_owned()),
            parse::Pattern::Arr(items) => Pattern::List(
                items
                    .iter()
                    .map(|item| self.pattern(item, scope))
                    .collect::<Result<_, _>>()?,
            ),
            parse::Pattern::Obj(members) => Pattern::Object(
                members
                    .iter()
                    .map(|(key, item)| Ok((self.term(key, scope)?, self.pattern(item, scope)?)))
                    .collect::<Result<_, String>>()?,
            ),
        })
    }

    fn term(&self, term: &Term<&'t str>, scope: &Scope) -> Result<Expr, String> {
        Ok(match term {
            Term::Id => Expr::Identity,
            Term::Recurse => Expr::Recurse,
            Term::Num(text) => match text.parse::<Number>() {
                Ok(number) => Expr::Value(Value::Number(number)),
                Err(_) => return self.error(text, "this number is too large"),
            },
            Term::Str(format, parts) => {
                if let Some(format) = format
                    && *format != "@text"
                    && *format != "@json"
                {
                    return self.error(format, "only @text and @json are known");
                }
                let json = *format == Some("@json");
                self.string(json, parts, scope)?
            }
            Term::Arr(inner) => Expr::List(match inner {
                Some(inner) => Some(self.boxed(inner, scope)?),
                None => None,
            }),
            Term::Obj(members) => Expr::Object(
                members
                    .iter()
                    .map(|member| self.member(member, scope))
                    .collect::<Result<_, _>>()?,
            ),
            Term::Neg(inner) => Expr::Negate(self.boxed(inner, scope)?),
            Term::BinOp(left, operator, right) => self.binary(left, operator, right, scope)?,
            Term::Label(name, inner) => Expr::Label(
                (*name).to_owned(),
                self.boxed(inner, &scope.with(Name::Label((*name).to_owned())))?,
            ),
            Term::Break(name) => {
                if !scope.has(&Name::Label((*name).to_owned())) {
                    return self.error(name, "there is no such label");
                }
                Expr::Break((*name).to_owned())
            }
            Term::Fold(kind, source, pattern, arguments) => {
                let source = self.boxed(source, scope)?;
                let bound = self.pattern(pattern, scope)?;
                let inner = scope.with_pattern(&bound);
                match (*kind, arguments.as_slice()) {
                    ("reduce", [start, step]) => Expr::Reduce(
                        source,
                        bound,
                        self.boxed(start, scope)?,
                        self.boxed(step, &inner)?,
                    ),
                    ("foreach", [start, step, shown @ ..]) if shown.len() < 2 => Expr::Foreach(
                        source,
                        bound,
                        self.boxed(start, scope)?,
                        self.boxed(step, &inner)?,
                        match shown {
                            [shown] => Some(self.boxed(shown, &inner)?),
                            _ => None,
                        },
                    ),
                    (kind, _) => return self.error(kind, "has another number of arguments"),
                }
            }
            Term::TryCatch(inner, caught) => Expr::Try(
                self.boxed(inner, scope)?,
                match caught {
                    Some(caught) => Some(self.boxed(caught, scope)?),
                    None => None,
                },
            ),
            Term::IfThenElse(branches, otherwise) => Expr::If(
                branches
                    .iter()
                    .map(|(test, then)| Ok((self.term(test, scope)?, self.term(then, scope)?)))
                    .collect::<Result<_, String>>()?,
                match otherwise {
                    Some(otherwise) => Some(self.boxed(otherwise, scope)?),
                    None => None,
                },
            ),
            Term::Def(defs, inner) => {
                let mut scope = scope.clone();
                let mut own = Vec::with_capacity(defs.len());
                for def in defs {
                    own.push(self.def(def, &scope)?);
                    scope = scope.with_def(def.name, def.args.len());
                }
                Expr::Define(own, self.boxed(inner, &scope)?)
            }
            Term::Call(name, arguments) => {
                let count = arguments.len();
                let known = scope.has(&Name::Filter((*name).to_owned(), count))
                    || self.defs.contains_key(&((*name).to_owned(), count))
                    || natives::is_known(name, count);
                if !known {
                    let problem = if OUTSIDE.contains(name) {
                        format!("{name} has no place in a rule")
                    } else {
                        format!("there is no filter {name}/{count} in rules")
                    };
                    return self.error(name, &problem);
                }
                Expr::Call((*name).to_owned(), self.all(arguments, scope)?)
            }
            Term::Var(name) => {
                if !scope.has(&Name::Variable((*name).to_owned())) {
                    return self.error(name, "there is no such variable");
                }
                Expr::Variable((*name).to_owned())
            }
            Term::Path(inner, path) => {
                let mut expr = self.term(inner, scope)?;
                for (part, optional) in &path.0 {
                    let access = match part {
                        path::Part::Index(at) => Access::At(self.boxed(at, scope)?),
                        path::Part::Range(None, None) => Access::Each,
                        path::Part::Range(from, to) => {
                            let bound = |term: &Option<Term<&'t str>>| {
                                term.as_ref().map(|it| self.boxed(it, scope)).transpose()
                            };
                            Access::Slice(bound(from)?, bound(to)?)
                        }
                    };
                    let optional = matches!(optional, path::Opt::Optional);
                    expr = Expr::Access(Box::new(expr), access, optional);
                }
                expr
            }
        })
    }

    fn string(
        &self,
        json: bool,
        parts: &[StrPart<&'t str, Term<&'t str>>],
        scope: &Scope,
    ) -> Result<Expr, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        for part in parts {
            match part {
                StrPart::Str(more) => text.push_str(more),
                StrPart::Char(c) => text.push(*c),
                StrPart::Term(term) => {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    let inner = self.term(term, scope)?;
                    pieces.push(Piece::Expr(if json {
                        Expr::Pipe(
                            Box::new(inner),
                            Box::new(Expr::Call("tojson".to_owned(), Vec::new())),
                        )
                    } else {
                        inner
                    }));
                }
            }
        }
        if pieces.is_empty() {
            return Ok(Expr::Value(Value::String(text)));
        }
        pieces.push(Piece::Text(text));
        Ok(Expr::Text(pieces))
    }

    /// A member of an object. `{name}` is `{name: .name}`, and `{$x}` is `{x: $x}`.
    fn member(
        &self,
        (key, value): &(Term<&'t str>, Option<Term<&'t str>>),
        scope: &Scope,
    ) -> Result<(Expr, Expr), String> {
        let of_key =
            |key: Expr| Expr::Access(Box::new(Expr::Identity), Access::At(Box::new(key)), false);
        Ok(match (key, value) {
            (Term::Var(name), None) => (
                Expr::Value(Value::String(name.trim_start_matches('$').to_owned())),
                self.term(key, scope)?,
            ),
            (key, None) => (self.term(key, scope)?, of_key(self.term(key, scope)?)),
            (key, Some(value)) => (self.term(key, scope)?, self.term(value, scope)?),
        })
    }

    fn binary(
        &self,
        left: &Term<&'t str>,
        operator: &BinaryOp<&'t str>,
        right: &Term<&'t str>,
        scope: &Scope,
    ) -> Result<Expr, String> {
        if let BinaryOp::Pipe(Some(pattern)) = operator {
            let bound = self.pattern(pattern, scope)?;
            let inner = scope.with_pattern(&bound);
            return Ok(Expr::Bind(
                self.boxed(left, scope)?,
                bound,
                self.boxed(right, &inner)?,
            ));
        }
        let make: fn(Box<Expr>, Box<Expr>) -> Expr = match operator {
            BinaryOp::Pipe(_) => Expr::Pipe,
            BinaryOp::Comma => Expr::Both,
            BinaryOp::Alt => Expr::Else,
            BinaryOp::Or => Expr::Or,
            BinaryOp::And => Expr::And,
            BinaryOp::Math(math) => {
                let (left, right) = (self.boxed(left, scope)?, self.boxed(right, scope)?);
                return Ok(Expr::Math(*math, left, right));
            }
            BinaryOp::Cmp(cmp) => {
                let (left, right) = (self.boxed(left, scope)?, self.boxed(right, scope)?);
                return Ok(Expr::Compare(*cmp, left, right));
            }
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                return Err(format!("{:?} assigns; a rule only names fields", self.text));
            }
        };
        Ok(make(self.boxed(left, scope)?, self.boxed(right, scope)?))
    }
}
