//! Who may do what: role-based access control, as pure functions over roles and bindings.

use serde_json::{Value, json};

/// Somebody who sends requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    /// Extra fields, such as scopes.
    pub(crate) extra: Vec<(String, Vec<String>)>,
}

pub(crate) const MASTERS: &str = "system:masters";
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
pub(crate) const ANONYMOUS: &str = "system:anonymous";

impl User {
    /// A user with groups, and the group of everybody who is known.
    pub(crate) fn new(name: &str, groups: &[&str]) -> Self {
        let mut user = Self {
            name: name.to_owned(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..Self::default()
        };
        user.complete_groups();
        user
    }

    pub(crate) fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    pub(crate) fn complete_groups(&mut self) {
        let group = if self.name == ANONYMOUS {
            UNAUTHENTICATED
        } else {
            AUTHENTICATED
        };
        if !self.groups.iter().any(|g| g == group) {
            self.groups.push(group.to_owned());
        }
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == MASTERS)
    }

    /// `userInfo` as reviews show it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = self
                .extra
                .iter()
                .map(|(k, v)| (k.clone(), json!(v)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        info
    }
}

/// What a user asks to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Set for a path that isn't a resource.
    pub(crate) path: Option<String>,
}

/// What the roles and bindings of a cluster are read from.
pub(crate) trait Roles {
    /// All ClusterRoleBindings.
    fn cluster_role_bindings(&self) -> Vec<Value>;
    /// The RoleBindings of a namespace.
    fn role_bindings(&self, namespace: &str) -> Vec<Value>;
    /// The rules of a ClusterRole, aggregated ones included; `None` without such a role.
    fn cluster_role_rules(&self, name: &str) -> Option<Vec<Value>>;
    /// The rules of a Role.
    fn role_rules(&self, namespace: &str, name: &str) -> Option<Vec<Value>>;
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The binding's subject that `user` is, printed.
fn subject(binding: &Value, namespace: &str, user: &User) -> Option<String> {
    binding
        .get("subjects")?
        .as_array()?
        .iter()
        .find_map(|subject| {
            let name = text(subject, "name");
            match text(subject, "kind") {
                "User" if user.name == name => Some(format!("User {name:?}")),
                "Group" if user.groups.iter().any(|g| g == name) => Some(format!("Group {name:?}")),
                "ServiceAccount" => {
                    let of = match text(subject, "namespace") {
                        "" => namespace,
                        given => given,
                    };
                    (user.name == format!("system:serviceaccount:{of}:{name}"))
                        .then(|| format!("ServiceAccount \"{name}/{of}\""))
                }
                _ => None,
            }
        })
}

/// Every rule that holds for `user` in `namespace`, with why.
fn rules_for(roles: &dyn Roles, user: &User, namespace: &str) -> Vec<(String, Vec<Value>)> {
    let mut found = Vec::new();
    for binding in roles.cluster_role_bindings() {
        if let Some(subject) = subject(&binding, "", user) {
            let role = text(&binding["roleRef"], "name");
            if let Some(rules) = roles.cluster_role_rules(role) {
                let name = text(&binding["metadata"], "name");
                let why = format!(
                    "RBAC: allowed by ClusterRoleBinding {name:?} of ClusterRole {role:?} to {subject}"
                );
                found.push((why, rules));
            }
        }
    }
    if !namespace.is_empty() {
        for binding in roles.role_bindings(namespace) {
            if let Some(subject) = subject(&binding, namespace, user) {
                let role = text(&binding["roleRef"], "name");
                let kind = text(&binding["roleRef"], "kind");
                let rules = match kind {
                    "ClusterRole" => roles.cluster_role_rules(role),
                    _ => roles.role_rules(namespace, role),
                };
                if let Some(rules) = rules {
                    let name = text(&binding["metadata"], "name");
                    let why = format!(
                        "RBAC: allowed by RoleBinding \"{name}/{namespace}\" of {kind} {role:?} to {subject}"
                    );
                    found.push((why, rules));
                }
            }
        }
    }
    found
}

/// Whether `user` may: the reason if so, which is empty for a master.
pub(crate) fn authorize(roles: &dyn Roles, user: &User, ask: &Attributes) -> Option<String> {
    if user.is_master() {
        return Some(String::new());
    }
    rules_for(roles, user, &ask.namespace)
        .into_iter()
        .find(|(_, rules)| rules.iter().any(|rule| allows(rule, ask)))
        .map(|(why, _)| why)
}

/// All rules that hold for `user` in `namespace`.
pub(crate) fn rules_of(roles: &dyn Roles, user: &User, namespace: &str) -> Vec<Value> {
    if user.is_master() {
        return vec![
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
        ];
    }
    rules_for(roles, user, namespace)
        .into_iter()
        .flat_map(|(_, rules)| rules)
        .collect()
}

fn allows(rule: &Value, ask: &Attributes) -> bool {
    let has = |key: &str, wanted: &str| texts(rule, key).iter().any(|v| *v == "*" || *v == wanted);
    if !has("verbs", &ask.verb) {
        return false;
    }
    if let Some(path) = &ask.path {
        return texts(rule, "nonResourceURLs")
            .iter()
            .any(|url| url_matches(url, path));
    }
    if !has("apiGroups", &ask.group) {
        return false;
    }
    let names = texts(rule, "resourceNames");
    if !names.is_empty() && !names.contains(&ask.name.as_str()) {
        return false;
    }
    texts(rule, "resources")
        .iter()
        .any(|resource| resource_matches(resource, &ask.resource, &ask.subresource))
}

fn url_matches(url: &str, path: &str) -> bool {
    match url.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => url == path,
    }
}

fn resource_matches(allowed: &str, resource: &str, subresource: &str) -> bool {
    if allowed == "*" {
        return true;
    }
    match allowed.split_once('/') {
        None => subresource.is_empty() && allowed == resource,
        Some((of, sub)) => sub == subresource && (of == "*" || of == resource),
    }
}

/// The sentence of a 403 (without its beginning).
pub(crate) fn refusal(user: &User, ask: &Attributes) -> String {
    let resource = if ask.subresource.is_empty() {
        ask.resource.clone()
    } else {
        format!("{}/{}", ask.resource, ask.subresource)
    };
    let scope = if ask.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", ask.namespace)
    };
    format!(
        "User {:?} cannot {} resource {resource:?} in API group {:?} {scope}",
        user.name, ask.verb, ask.group
    )
}

/// A rule for one verb on one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Single {
    Resource {
        group: String,
        resource: String,
        name: Option<String>,
        verb: String,
    },
    Path {
        url: String,
        verb: String,
    },
}

fn singles(rules: &[Value]) -> Vec<Single> {
    let mut out = Vec::new();
    for rule in rules {
        for verb in texts(rule, "verbs") {
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    let names = texts(rule, "resourceNames");
                    let single = |name: Option<&str>| Single::Resource {
                        group: group.to_owned(),
                        resource: resource.to_owned(),
                        name: name.map(str::to_owned),
                        verb: verb.to_owned(),
                    };
                    if names.is_empty() {
                        out.push(single(None));
                    }
                    out.extend(names.into_iter().map(|name| single(Some(name))));
                }
            }
            for url in texts(rule, "nonResourceURLs") {
                out.push(Single::Path {
                    url: url.to_owned(),
                    verb: verb.to_owned(),
                });
            }
        }
    }
    out
}

fn covers(rule: &Value, wanted: &Single) -> bool {
    let has = |key: &str, value: &str| texts(rule, key).iter().any(|v| *v == "*" || *v == value);
    match wanted {
        Single::Resource {
            group,
            resource,
            name,
            verb,
        } => {
            let names = texts(rule, "resourceNames");
            let (of, sub) = resource.split_once('/').unwrap_or((resource, ""));
            has("verbs", verb)
                && has("apiGroups", group)
                && texts(rule, "resources")
                    .iter()
                    .any(|r| r == resource || resource_matches(r, of, sub))
                && (names.is_empty() || name.as_ref().is_some_and(|n| names.contains(&n.as_str())))
        }
        Single::Path { url, verb } => {
            has("verbs", verb)
                && texts(rule, "nonResourceURLs")
                    .iter()
                    .any(|u| u == url || url_matches(u, url))
        }
    }
}

/// The rules in `wanted` that `held` doesn't cover, as the server prints them.
pub(crate) fn missing(held: &[Value], wanted: &[Value]) -> Vec<String> {
    let mut groups: Vec<(Single, Vec<String>)> = Vec::new();
    for single in singles(wanted) {
        if held.iter().any(|rule| covers(rule, &single)) {
            continue;
        }
        let (key, verb) = match single {
            Single::Resource {
                group,
                resource,
                name,
                verb,
            } => (
                Single::Resource {
                    group,
                    resource,
                    name,
                    verb: String::new(),
                },
                verb,
            ),
            Single::Path { url, verb } => (
                Single::Path {
                    url,
                    verb: String::new(),
                },
                verb,
            ),
        };
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, verbs)) => verbs.push(verb),
            None => groups.push((key, vec![verb])),
        }
    }
    let list = |values: &[String]| {
        let quoted: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
        quoted.join(", ")
    };
    let mut lines: Vec<String> = groups
        .into_iter()
        .map(|(key, verbs)| match key {
            Single::Resource {
                group,
                resource,
                name,
                ..
            } => {
                let names = name.map_or(String::new(), |n| format!(", ResourceNames:[{n:?}]"));
                format!(
                    "{{APIGroups:[{group:?}], Resources:[{resource:?}]{names}, Verbs:[{}]}}",
                    list(&verbs)
                )
            }
            Single::Path { url, .. } => {
                format!("{{NonResourceURLs:[{url:?}], Verbs:[{}]}}", list(&verbs))
            }
        })
        .collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Value);

    impl Roles for One {
        fn cluster_role_bindings(&self) -> Vec<Value> {
            vec![
                json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
                "subjects": [{"kind": "Group", "name": "devs"}]}),
            ]
        }
        fn role_bindings(&self, _: &str) -> Vec<Value> {
            Vec::new()
        }
        fn cluster_role_rules(&self, _: &str) -> Option<Vec<Value>> {
            Some(vec![self.0.clone()])
        }
        fn role_rules(&self, _: &str, _: &str) -> Option<Vec<Value>> {
            None
        }
    }

    fn ask(verb: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            group: "apps".into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            namespace: "shop".into(),
            path: None,
        }
    }

    #[test]
    fn rules_are_matched_by_verb_group_resource_and_name() {
        let roles = One(json!({"verbs": ["get"], "apiGroups": ["apps"],
            "resources": ["deployments", "*/scale"], "resourceNames": ["web"]}));
        let dev = User::new("ann", &["devs"]);
        assert!(authorize(&roles, &dev, &ask("get", "deployments", "", "web")).is_some());
        assert!(authorize(&roles, &dev, &ask("get", "statefulsets", "scale", "web")).is_some());
        for refused in [
            ask("list", "deployments", "", "web"),
            ask("get", "deployments", "status", "web"),
            ask("get", "deployments", "", "other"),
        ] {
            assert_eq!(authorize(&roles, &dev, &refused), None, "{refused:?}");
        }
        assert_eq!(
            authorize(
                &roles,
                &User::new("bob", &[]),
                &ask("get", "deployments", "", "web")
            ),
            None
        );
        assert!(
            authorize(
                &roles,
                &User::new("root", &[MASTERS]),
                &ask("delete", "x", "", "")
            )
            .is_some()
        );
    }

    #[test]
    fn what_is_not_held_is_named() {
        let held =
            [json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"]})];
        let wanted =
            [json!({"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["configmaps"]})];
        assert_eq!(
            missing(&held, &wanted),
            ["{APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"delete\"]}"]
        );
        assert!(
            missing(
                &[json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})],
                &wanted
            )
            .is_empty()
        );
    }
}
