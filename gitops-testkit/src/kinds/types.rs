//! The types of the built-in API: which fields there are, of which type, and
//! which are left out of JSON when they hold the zero value.
//!
//! The table (`types.txt`) holds facts of Kubernetes 1.36, one type per block:
//!
//! ```text
//! core.v1.Container            package and name
//!  name#1 s!+                  field, its number in protobuf, type, flags
//!  tty#18=TTY b                field with the Go name where it isn't the usual one
//!  ~#2 @core.v1.VolumeSource   fields that lie here in JSON, but in a message of their own in protobuf
//! ```
//!
//! Types: `s` string, `i` int32, `l` int64, `b` bool, `d` double, `y` bytes, `q`
//! quantity, `o` int-or-string, `t` time, `u` time with microseconds, `D`
//! duration, `R` any object, `F` field set, `J` any JSON, `A`/`B`/`C` the three
//! "or" types of JSON schema, `@x` a struct, `[x` a list, `{x` a map, `*x` a
//! pointer; `:N` after one gives the Go name of a named type. Flags: `!` written
//! even if zero, `0` left out if zero (a struct), `+` required in OpenAPI;
//! `<a|b>` the known values.

use std::{collections::BTreeMap, sync::OnceLock};

/// The type of a field.
#[derive(Debug)]
pub(crate) enum Ty {
    Str,
    Int32,
    Int64,
    Bool,
    Double,
    Bytes,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    Duration,
    Raw,
    FieldSet,
    Json,
    SchemaOrArray,
    SchemaOrBool,
    SchemaOrStrings,
    Struct(usize),
    List(Box<TypeRef>),
    Map(Box<TypeRef>),
}

/// A type in use: with its Go name, and whether behind a pointer.
#[derive(Debug)]
pub(crate) struct TypeRef {
    pub(crate) ty: Ty,
    pub(crate) pointer: bool,
    /// The name of a named type, such as `v1.Protocol`.
    named: Option<String>,
}

impl TypeRef {
    /// A struct by its index.
    pub(crate) fn to_struct(index: usize) -> Self {
        plain(Ty::Struct(index))
    }
}

/// One field of a struct.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// The number in protobuf; 0 if there is none here.
    pub(crate) number: u32,
    /// The Go name; empty for an embedded struct.
    pub(crate) go_name: String,
    pub(crate) ty: TypeRef,
    /// Written to JSON even when zero.
    pub(crate) always: bool,
    /// A struct left out of JSON when zero.
    pub(crate) omit_zero: bool,
    pub(crate) required: bool,
    pub(crate) values: Vec<String>,
}

/// A struct.
#[derive(Debug)]
pub(crate) struct Struct {
    /// Package and name: `core.v1.Container`.
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
    /// Structs whose fields are among [`fields`](Self::fields), by their number in protobuf.
    pub(crate) nested: Vec<(u32, usize)>,
    by_name: BTreeMap<String, usize>,
}

impl Struct {
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).and_then(|i| self.fields.get(*i))
    }

    /// The name without its package: `Container`.
    pub(crate) fn short(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// The name as Go prints the type: `v1.Container`.
    pub(crate) fn go_type(&self) -> &str {
        self.name
            .split_once('.')
            .map_or(self.name.as_str(), |(_, rest)| rest)
    }
}

/// Every struct of the built-in API.
#[derive(Debug)]
pub(crate) struct Types {
    structs: Vec<Struct>,
    by_name: BTreeMap<String, usize>,
}

impl Types {
    pub(crate) fn get() -> &'static Self {
        static TYPES: OnceLock<Types> = OnceLock::new();
        TYPES.get_or_init(|| Self::parse(include_str!("types.txt")))
    }

    pub(crate) fn at(&self, index: usize) -> Option<&Struct> {
        self.structs.get(index)
    }

    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    fn parse(text: &str) -> Self {
        let mut by_name = BTreeMap::new();
        for line in text.lines().filter(|l| !l.starts_with(' ')) {
            let next = by_name.len();
            by_name.insert(line.to_owned(), next);
        }
        let mut structs: Vec<Struct> = Vec::with_capacity(by_name.len());
        let mut position = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix(' ') {
                if let (Some(inner), Some(last)) = (rest.strip_prefix("~#"), structs.last_mut()) {
                    if let Some((number, name)) = inner.split_once(" @") {
                        last.nested
                            .extend(number.parse().ok().zip(by_name.get(name).copied()));
                    }
                } else if let Some(last) = structs.last_mut() {
                    let field = parse_field(rest, &by_name);
                    last.by_name.insert(field.name.clone(), last.fields.len());
                    last.fields.push(field);
                }
            } else {
                position.insert(line.to_owned(), structs.len());
                structs.push(Struct {
                    name: line.to_owned(),
                    fields: Vec::new(),
                    nested: Vec::new(),
                    by_name: BTreeMap::new(),
                });
            }
        }
        Self {
            structs,
            by_name: position,
        }
    }

    /// The type as Go prints it, pointers left out: `map[string]string`.
    pub(crate) fn go_type(&self, t: &TypeRef) -> String {
        if let Some(named) = &t.named {
            return named.clone();
        }
        match &t.ty {
            Ty::Str => "string".into(),
            Ty::Int32 => "int32".into(),
            Ty::Int64 => "int64".into(),
            Ty::Bool => "bool".into(),
            Ty::Double => "float64".into(),
            Ty::Bytes => "[]uint8".into(),
            Ty::Quantity => "resource.Quantity".into(),
            Ty::IntOrString => "intstr.IntOrString".into(),
            Ty::Time => "v1.Time".into(),
            Ty::MicroTime => "v1.MicroTime".into(),
            Ty::Duration => "v1.Duration".into(),
            Ty::Raw => "runtime.RawExtension".into(),
            Ty::FieldSet => "v1.FieldsV1".into(),
            Ty::Json => "v1.JSON".into(),
            Ty::SchemaOrArray => "v1.JSONSchemaPropsOrArray".into(),
            Ty::SchemaOrBool => "v1.JSONSchemaPropsOrBool".into(),
            Ty::SchemaOrStrings => "v1.JSONSchemaPropsOrStringArray".into(),
            Ty::Struct(i) => self
                .at(*i)
                .map(|s| s.go_type().to_owned())
                .unwrap_or_default(),
            Ty::List(item) => format!("[]{}{}", star(item), self.go_type(item)),
            Ty::Map(item) => format!("map[string]{}{}", star(item), self.go_type(item)),
        }
    }
}

fn star(t: &TypeRef) -> &'static str {
    if t.pointer { "*" } else { "" }
}

fn parse_field(line: &str, structs: &BTreeMap<String, usize>) -> Field {
    let (head, mut rest) = line.split_once(' ').unwrap_or((line, "J"));
    let (head, go) = head
        .split_once('=')
        .map_or((head, None), |(head, go)| (head, Some(go.to_owned())));
    let (name, number) = head.split_once('#').unwrap_or((head, "0"));
    let go_name = go.unwrap_or_else(|| {
        let mut chars = name.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars).collect()
    });
    let (name, number) = (name.to_owned(), number.parse().unwrap_or(0));
    let mut values = Vec::new();
    if let Some((before, list)) = rest.split_once('<') {
        values = list
            .trim_end_matches('>')
            .split('|')
            .map(str::to_owned)
            .collect();
        rest = before;
    }
    let flags = rest.len() - rest.trim_end_matches(['!', '0', '+']).len();
    let (ty, flags) = rest.split_at(rest.len() - flags);
    Field {
        name,
        number,
        go_name,
        ty: parse_type(ty, structs),
        always: flags.contains('!'),
        omit_zero: flags.contains('0'),
        required: flags.contains('+'),
        values,
    }
}

fn parse_type(text: &str, structs: &BTreeMap<String, usize>) -> TypeRef {
    if let Some(rest) = text.strip_prefix('*') {
        return TypeRef {
            pointer: true,
            ..parse_type(rest, structs)
        };
    }
    // The name of a named list or map belongs to the outer type.
    if let Some((inner, named)) = text
        .split_once(':')
        .filter(|_| text.starts_with(['[', '{']))
        && is_collection_name(named)
    {
        return TypeRef {
            named: Some(named.to_owned()),
            ..parse_type(inner, structs)
        };
    }
    if let Some(rest) = text.strip_prefix('[') {
        return plain(Ty::List(Box::new(parse_type(rest, structs))));
    }
    if let Some(rest) = text.strip_prefix('{') {
        return plain(Ty::Map(Box::new(parse_type(rest, structs))));
    }
    let (code, named) = match text.split_once(':') {
        Some((code, named)) => (code, Some(named.to_owned())),
        None => (text, None),
    };
    let ty = match code {
        "s" => Ty::Str,
        "i" => Ty::Int32,
        "l" | "n" => Ty::Int64,
        "b" => Ty::Bool,
        "d" => Ty::Double,
        "y" => Ty::Bytes,
        "q" => Ty::Quantity,
        "o" => Ty::IntOrString,
        "t" => Ty::Time,
        "u" => Ty::MicroTime,
        "D" => Ty::Duration,
        "R" => Ty::Raw,
        "F" => Ty::FieldSet,
        "A" => Ty::SchemaOrArray,
        "B" => Ty::SchemaOrBool,
        "C" => Ty::SchemaOrStrings,
        other => match other.strip_prefix('@').and_then(|name| structs.get(name)) {
            Some(index) => Ty::Struct(*index),
            None => Ty::Json,
        },
    };
    TypeRef {
        ty,
        pointer: false,
        named,
    }
}

fn is_collection_name(name: &str) -> bool {
    matches!(
        name,
        "v1.ResourceList"
            | "v1.ExtraValue"
            | "v1.Verbs"
            | "v1.JSONSchemaDefinitions"
            | "v1.JSONSchemaDependencies"
    )
}

fn plain(ty: Ty) -> TypeRef {
    TypeRef {
        ty,
        pointer: false,
        named: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, member: &str) -> &'static Field {
        let types = Types::get();
        let index = types.named(name).expect(name);
        types.at(index).and_then(|s| s.field(member)).expect(member)
    }

    #[test]
    fn every_type_in_the_table_is_known() {
        let types = Types::get();
        assert!(types.structs.len() > 500);
        for line in include_str!("types.txt")
            .lines()
            .filter_map(|l| l.strip_prefix(' '))
        {
            for reference in line.split('@').skip(1) {
                let name = reference
                    .split(['!', '0', '+', '<', ' ', ':'])
                    .next()
                    .unwrap_or_default();
                let name = if types.by_name.contains_key(name) {
                    name
                } else {
                    reference
                };
                assert!(types.by_name.contains_key(name), "{line}");
            }
        }
    }

    #[test]
    fn types_print_as_go_prints_them() {
        let types = Types::get();
        for (name, member, printed) in [
            ("core.v1.ObjectReference", "uid", "types.UID"),
            ("core.v1.ContainerPort", "protocol", "v1.Protocol"),
            ("core.v1.PodSpec", "containers", "[]v1.Container"),
            ("core.v1.ResourceRequirements", "limits", "v1.ResourceList"),
            ("meta.v1.ObjectMeta", "labels", "map[string]string"),
            ("core.v1.ServiceSpec", "ipFamilies", "[]v1.IPFamily"),
            ("apps.v1.DeploymentSpec", "replicas", "int32"),
            (
                "autoscaling.v2.HorizontalPodAutoscaler",
                "spec",
                "v2.HorizontalPodAutoscalerSpec",
            ),
        ] {
            assert_eq!(
                types.go_type(&field(name, member).ty),
                printed,
                "{name}.{member}"
            );
        }
    }

    #[test]
    fn flags_and_names_are_read() {
        assert!(field("rbac.v1.Role", "rules").always);
        assert!(field("apps.v1.DeploymentSpec", "replicas").ty.pointer);
        assert_eq!(field("core.v1.Container", "tty").go_name, "TTY");
        assert_eq!(field("core.v1.ServiceSpec", "type").values.len(), 4);
    }
}
