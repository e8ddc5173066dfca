//! Sets of fields, and `fieldsV1`, the form in which `metadata.managedFields` has them.

mod algebra;
mod element;
mod fields_v1;

use std::borrow::Cow;
use std::fmt;

use gitops_core::FieldPath;

pub(crate) use element::{Step, write_json, write_string as write_json_string};
pub use fields_v1::FieldsError;

/// A set of fields of an object.
///
/// A member of the set says nothing about the fields within it: owning `.spec` is not
/// owning `.spec.replicas`. Names are borrowed where the set was read from JSON;
/// [`into_owned`](Self::into_owned) frees it of that.
///
/// ```
/// use gitops_diff::fieldset::FieldSet;
/// use serde_json::json;
///
/// let fields = json!({"f:spec": {"f:replicas": {}, "f:ports": {
///     ".": {}, "k:{\"port\":80}": {".": {}, "f:name": {}}}}});
/// let set = FieldSet::from_fields_v1(&fields)?;
///
/// let paths: Vec<String> = set.paths().map(|path| path.to_string()).collect();
/// assert_eq!(paths, [
///     ".spec.ports", ".spec.replicas", ".spec.ports[port=80]", ".spec.ports[port=80].name",
/// ]);
/// assert_eq!(set.to_fields_v1(), fields);
/// # Ok::<_, gitops_diff::fieldset::FieldsError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FieldSet<'a> {
    /// Sorted by step. A node is a member, or has children that aren't empty, or both.
    pub(crate) nodes: Vec<Node<'a>>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    pub(crate) step: Step<'a>,
    pub(crate) member: bool,
    pub(crate) children: FieldSet<'a>,
}

impl<'a> FieldSet<'a> {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Whether no field is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many fields are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| usize::from(node.member) + node.children.len())
            .sum()
    }

    fn search(&self, step: &Step<'_>) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.step.cmp(step))
    }

    pub(crate) fn node(&self, step: &Step<'_>) -> Option<&Node<'a>> {
        self.nodes.get(self.search(step).ok()?)
    }

    /// The node of `step`, made if it isn't there. An empty one must not be left behind.
    fn node_mut(&mut self, step: Step<'a>) -> Option<&mut Node<'a>> {
        let at = match self.search(&step) {
            Ok(at) => at,
            Err(at) => {
                self.nodes.insert(
                    at,
                    Node {
                        step,
                        member: false,
                        children: FieldSet::new(),
                    },
                );
                at
            }
        };
        self.nodes.get_mut(at)
    }

    /// Adds what is known about one step; nothing, if that is nothing. After the last
    /// one, [`settle`](Self::settle) must be called.
    pub(crate) fn put(&mut self, step: Step<'a>, member: bool, children: FieldSet<'a>) {
        if member || !children.is_empty() {
            self.nodes.push(Node {
                step,
                member,
                children,
            });
        }
    }

    /// Brings what was [put](Self::put) in order.
    pub(crate) fn settle(&mut self) {
        if self.nodes.is_sorted_by(|a, b| a.step < b.step) {
            return;
        }
        self.nodes.sort_by(|a, b| a.step.cmp(&b.step));
        self.nodes.dedup_by(|later, kept| {
            let same = later.step == kept.step;
            if same {
                kept.member |= later.member;
                kept.children = kept.children.union(&later.children);
            }
            same
        });
    }

    /// Adds a field. The object itself can't be a member and is ignored.
    pub fn insert(&mut self, path: &FieldPath) {
        let mut set = self;
        let mut steps = path.elements().iter().peekable();
        while let Some(element) = steps.next() {
            let step = Step::from_element(element).into_owned();
            let Some(node) = set.node_mut(step) else {
                return;
            };
            if steps.peek().is_none() {
                node.member = true;
                return;
            }
            set = &mut node.children;
        }
    }

    fn find(&self, path: &FieldPath) -> Option<&Node<'a>> {
        let (last, way) = path.elements().split_last()?;
        let mut set = self;
        for element in way {
            set = &set.node(&Step::from_element(element))?.children;
        }
        set.node(&Step::from_element(last))
    }

    /// Whether the field is in the set.
    #[must_use]
    pub fn contains(&self, path: &FieldPath) -> bool {
        self.find(path).is_some_and(|node| node.member)
    }

    /// Whether the field, or one within it, is in the set.
    #[must_use]
    pub fn reaches(&self, path: &FieldPath) -> bool {
        path.elements().is_empty() && !self.is_empty() || self.find(path).is_some()
    }

    /// The fields, in the order in which the API server lists them: at each level first
    /// the members, then what is within them.
    pub fn paths(&self) -> impl Iterator<Item = FieldPath> + '_ {
        let mut paths = Vec::with_capacity(self.len());
        self.visit(&mut FieldPath::root(), &mut |path| paths.push(path.clone()));
        paths.into_iter()
    }

    pub(crate) fn visit(&self, path: &mut FieldPath, found: &mut impl FnMut(&FieldPath)) {
        for node in self.nodes.iter().filter(|node| node.member) {
            path.push(node.step.to_element());
            found(path);
            path.pop();
        }
        for node in self.nodes.iter().filter(|node| !node.children.is_empty()) {
            path.push(node.step.to_element());
            node.children.visit(path, found);
            path.pop();
        }
    }

    /// The same set, with names of its own.
    #[must_use]
    pub fn into_owned(self) -> FieldSet<'static> {
        FieldSet {
            nodes: self
                .nodes
                .into_iter()
                .map(|node| Node {
                    step: node.step.into_owned(),
                    member: node.member,
                    children: node.children.into_owned(),
                })
                .collect(),
        }
    }

    /// A set of members by name, for sets that are written in code.
    ///
    /// ```
    /// use gitops_diff::fieldset::FieldSet;
    /// let reset = FieldSet::of_names([["spec"].as_slice(), &["metadata", "labels"]]);
    /// assert_eq!(reset.len(), 2);
    /// ```
    #[must_use]
    pub fn of_names<'p>(paths: impl IntoIterator<Item = &'p [&'a str]>) -> Self
    where
        'a: 'p,
    {
        let mut set = Self::new();
        for path in paths {
            let mut place = &mut set;
            for (at, name) in path.iter().enumerate() {
                let Some(node) = place.node_mut(Step::Field(Cow::Borrowed(name))) else {
                    break;
                };
                node.member |= at + 1 == path.len();
                place = &mut node.children;
            }
        }
        set
    }
}

impl FromIterator<FieldPath> for FieldSet<'static> {
    fn from_iter<I: IntoIterator<Item = FieldPath>>(paths: I) -> Self {
        let mut set = FieldSet::new();
        for path in paths {
            set.insert(&path);
        }
        set
    }
}

impl fmt::Debug for FieldSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.paths().map(|path| path.to_string()))
            .finish()
    }
}
