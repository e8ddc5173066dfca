//! In which form an answer is wanted: the `Accept` header.

use super::status::{ApiError, ApiResult};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The object itself.
    Object,
    /// `Table` at `v1` or `v1beta1`.
    Table,
    /// `PartialObjectMetadata`.
    Partial,
    /// `PartialObjectMetadataList`.
    PartialList,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) form: Form,
    /// The version of `meta.k8s.io` that was asked for.
    pub(crate) beta: bool,
    pub(crate) yaml: bool,
}

impl Accepted {
    pub(crate) const JSON: Self = Self {
        form: Form::Object,
        beta: false,
        yaml: false,
    };

    /// `apiVersion` of a Table or of partial metadata.
    pub(crate) fn meta_version(self) -> &'static str {
        if self.beta {
            "meta.k8s.io/v1beta1"
        } else {
            "meta.k8s.io/v1"
        }
    }
}

/// One clause of an `Accept` header.
#[derive(Debug, PartialEq)]
pub(crate) struct Clause {
    pub(crate) media: String,
    pub(crate) parameters: Vec<(String, String)>,
    quality: f32,
}

impl Clause {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The clauses of a header, best first.
pub(crate) fn clauses(header: &str) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = header
        .split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let media = pieces.next().unwrap_or_default().to_ascii_lowercase();
            let mut quality = 1.0;
            let mut parameters = Vec::new();
            for piece in pieces {
                let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
                if key == "q" {
                    quality = value.parse().unwrap_or(1.0);
                } else {
                    parameters.push((key.to_owned(), value.trim_matches('"').to_owned()));
                }
            }
            Clause {
                media,
                parameters,
                quality,
            }
        })
        .collect();
    // Stable: equal qualities stay in the order of the header.
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

/// Chooses the form of an answer about objects.
pub(crate) fn accept(header: Option<&str>) -> ApiResult<Accepted> {
    let Some(header) = header.filter(|h| !h.trim().is_empty()) else {
        return Ok(Accepted::JSON);
    };
    let mut representation_known = false;
    for clause in clauses(header) {
        let yaml = match clause.media.as_str() {
            "application/json" | "*/*" | "application/*" => false,
            "application/yaml" => true,
            "application/vnd.kubernetes.protobuf" => {
                representation_known = true;
                continue;
            }
            _ => continue,
        };
        representation_known = true;
        let Some(kind) = clause.parameter("as") else {
            return Ok(Accepted {
                yaml,
                ..Accepted::JSON
            });
        };
        let version = clause.parameter("v");
        if clause.parameter("g") != Some("meta.k8s.io")
            || !matches!(version, Some("v1" | "v1beta1"))
        {
            continue;
        }
        let form = match kind {
            "Table" => Form::Table,
            "PartialObjectMetadata" => Form::Partial,
            "PartialObjectMetadataList" => Form::PartialList,
            _ => continue,
        };
        return Ok(Accepted {
            form,
            beta: version == Some("v1beta1"),
            yaml,
        });
    }
    if representation_known {
        return Err(ApiError::not_acceptable_representation());
    }
    let mut error = ApiError::new(
        406,
        "NotAcceptable",
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    );
    error.details = Some(serde_json::json!({}));
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_known_wins() {
        let form = |header: &str| accept(Some(header)).map(|a| (a.form, a.beta));
        assert_eq!(form("application/json"), Ok((Form::Object, false)));
        assert_eq!(form("text/html, */*"), Ok((Form::Object, false)));
        assert_eq!(
            form("application/xml, application/json;q=0.5"),
            Ok((Form::Object, false))
        );
        assert_eq!(
            form(
                "application/json;as=Table;v=v9;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
            ),
            Ok((Form::Table, true))
        );
        assert_eq!(
            form("application/vnd.kubernetes.protobuf,application/json"),
            Ok((Form::Object, false))
        );
        assert_eq!(form("text/html").unwrap_err().code, 406);
        assert_eq!(
            form("application/json;as=Bogus;v=v1;g=meta.k8s.io")
                .unwrap_err()
                .details,
            None
        );
    }
}
