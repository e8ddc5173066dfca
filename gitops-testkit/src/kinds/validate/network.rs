//! Ingress and NetworkPolicy.

use serde_json::{Value, json};

use crate::kinds::{
    error::{FieldError, Path},
    meta, rules,
    value::{items, text, unset},
};

use super::{Errors, pod};

const CLASS: &str = "kubernetes.io/ingress.class";

pub(super) fn ingress(obj: &Value, create: bool, errors: &mut Errors) {
    let path = Path::new("spec");
    let spec = &obj["spec"];
    if create {
        let (old, new) = (
            text(&obj["metadata"]["annotations"], CLASS),
            text(spec, "ingressClassName"),
        );
        if !old.is_empty() && !new.is_empty() && old != new {
            errors.push(FieldError::invalid_str(
                &Path::new("annotations").child(CLASS),
                old,
                "must match `ingressClassName` when both are specified",
            ));
        }
    }
    if items(&spec["rules"]).is_empty() && unset(spec, "defaultBackend") {
        errors.push(FieldError::invalid(
            &path,
            &spec["rules"],
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    if !unset(spec, "defaultBackend") {
        backend(
            &spec["defaultBackend"],
            &path.child("defaultBackend"),
            errors,
        );
    }
    for (i, rule) in items(&spec["rules"]).iter().enumerate() {
        let at = path.child("rules").index(i);
        host(text(rule, "host"), &at.child("host"), errors);
        if unset(rule, "http") {
            continue;
        }
        let paths = items(&rule["http"]["paths"]);
        let at = at.child("http").child("paths");
        if paths.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        for (j, entry) in paths.iter().enumerate() {
            http_path(entry, &at.index(j), errors);
        }
    }
    for (i, tls) in items(&spec["tls"]).iter().enumerate() {
        let at = path.child("tls").index(i);
        for (j, name) in items(&tls["hosts"])
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let found = if name.contains('*') {
                rules::wildcard_subdomain(name)
            } else {
                rules::dns_subdomain(name)
            };
            errors.extend(
                found
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("hosts").index(j), name, m)),
            );
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            errors.extend(
                rules::dns_subdomain(secret)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("secretName"), secret, m)),
            );
        }
    }
    let class = text(spec, "ingressClassName");
    if !class.is_empty() {
        let at = path.child("ingressClassName");
        errors.extend(
            rules::dns_subdomain(class)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, class, m)),
        );
    }
}

fn host(host: &str, path: &Path, errors: &mut Errors) {
    if host.is_empty() {
        return;
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        errors.push(FieldError::invalid_str(
            path,
            host,
            "must be a DNS name, not an IP address",
        ));
        return;
    }
    let found = if host.contains('*') {
        rules::wildcard_subdomain(host)
    } else {
        rules::dns_subdomain(host)
    };
    errors.extend(
        found
            .into_iter()
            .map(|m| FieldError::invalid_str(path, host, m)),
    );
}

fn http_path(entry: &Value, at: &Path, errors: &mut Errors) {
    let path = text(entry, "path");
    match entry["pathType"].as_str() {
        None => errors.push(FieldError::required(
            &at.child("pathType"),
            "pathType must be specified",
        )),
        Some("Exact" | "Prefix") => {
            if !path.starts_with('/') {
                errors.push(FieldError::invalid_str(
                    &at.child("path"),
                    path,
                    "must be an absolute path",
                ));
            }
            if !path.is_empty() {
                for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                    if path.contains(bad) {
                        errors.push(FieldError::invalid_str(
                            &at.child("path"),
                            path,
                            format!("must not contain '{bad}'"),
                        ));
                    }
                }
                for bad in ["/..", "/."] {
                    if path.ends_with(bad) {
                        errors.push(FieldError::invalid_str(
                            &at.child("path"),
                            path,
                            format!("cannot end with '{bad}'"),
                        ));
                    }
                }
            }
        }
        Some("ImplementationSpecific") => {
            if !path.is_empty() && !path.starts_with('/') {
                errors.push(FieldError::invalid_str(
                    &at.child("path"),
                    path,
                    "must be an absolute path",
                ));
            }
        }
        Some(other) => errors.push(FieldError::not_supported(
            &at.child("pathType"),
            &json!(other),
            &["Exact", "ImplementationSpecific", "Prefix"],
        )),
    }
    backend(&entry["backend"], &at.child("backend"), errors);
}

fn backend(backend: &Value, path: &Path, errors: &mut Errors) {
    match (!unset(backend, "resource"), !unset(backend, "service")) {
        (true, true) => {
            errors.push(FieldError::invalid_str(
                path,
                "",
                "cannot set both resource and service backends",
            ));
        }
        (true, false) => {
            for key in ["kind", "name"] {
                if text(&backend["resource"], key).is_empty() {
                    errors.push(FieldError::required(&path.child("resource").child(key), ""));
                }
            }
        }
        (false, true) => {
            let service = &backend["service"];
            let name = text(service, "name");
            let at = path.child("service");
            if name.is_empty() {
                errors.push(FieldError::required(&at.child("name"), ""));
            } else {
                errors.extend(
                    rules::dns_label(name)
                        .into_iter()
                        .map(|m| FieldError::invalid_str(&at.child("name"), name, m)),
                );
            }
            let port = &service["port"];
            let (named, number) = (text(port, "name"), port["number"].as_i64().unwrap_or(0));
            match (named.is_empty(), number == 0) {
                (false, false) => errors.push(FieldError::invalid_str(
                    path,
                    "",
                    "cannot set both port name & port number",
                )),
                (false, true) => {
                    errors.extend(rules::port_name(named).into_iter().map(|m| {
                        FieldError::invalid_str(&at.child("port").child("name"), named, m)
                    }))
                }
                (true, false) => errors.extend(rules::port(number).into_iter().map(|m| {
                    FieldError::invalid(&at.child("port").child("number"), &json!(number), m)
                })),
                (true, true) => errors.push(FieldError::required(
                    path,
                    "port name or number is required",
                )),
            }
        }
        (false, false) => {
            errors.push(FieldError::invalid_str(
                path,
                "",
                "resource or service backend is required",
            ));
        }
    }
}

pub(super) fn policy(spec: &Value, path: &Path, errors: &mut Errors) {
    meta::label_selector(&spec["podSelector"], &path.child("podSelector"), errors);
    for (direction, side) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in items(&spec[direction]).iter().enumerate() {
            let at = path.child(direction).index(i);
            for (j, port) in items(&rule["ports"]).iter().enumerate() {
                policy_port(port, &at.child("ports").index(j), errors);
            }
            for (j, peer) in items(&rule[side]).iter().enumerate() {
                policy_peer(peer, &at.child(side).index(j), errors);
            }
        }
    }
    let types = items(&spec["policyTypes"]);
    if types.len() > 2 {
        errors.push(FieldError::invalid(
            &path.child("policyTypes"),
            &spec["policyTypes"],
            "may not specify more than two policyTypes",
        ));
        return;
    }
    for (i, kind) in types.iter().enumerate() {
        if kind != "Ingress" && kind != "Egress" {
            errors.push(FieldError::not_supported(
                &path.child("policyTypes").index(i),
                kind,
                &["Ingress", "Egress"],
            ));
        }
    }
}

fn policy_port(port: &Value, path: &Path, errors: &mut Errors) {
    let protocol = text(port, "protocol");
    if !matches!(protocol, "" | "TCP" | "UDP" | "SCTP") {
        errors.push(FieldError::not_supported(
            &path.child("protocol"),
            &json!(protocol),
            &["TCP", "UDP", "SCTP"],
        ));
    }
    let end = port["endPort"].as_i64();
    match &port["port"] {
        Value::Null => {
            if end.is_some() {
                errors.push(FieldError::required(
                    &path.child("port"),
                    "must be specified when `endPort` is specified",
                ));
            }
        }
        number @ Value::Number(_) => {
            pod::port_or_name(number, &path.child("port"), errors);
            if let Some(end) = end {
                if end < number.as_i64().unwrap_or(0) {
                    errors.push(FieldError::invalid(
                        &path.child("endPort"),
                        &json!(number.as_i64().unwrap_or(0)),
                        "must be greater than or equal to `port`",
                    ));
                }
                errors.extend(
                    rules::port(end)
                        .into_iter()
                        .map(|m| FieldError::invalid(&path.child("endPort"), &json!(end), m)),
                );
            }
        }
        name => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(
                    &path.child("endPort"),
                    &json!(end),
                    "may not be specified when `port` is non-numeric",
                ));
            }
            pod::port_or_name(name, &path.child("port"), errors);
        }
    }
}

fn policy_peer(peer: &Value, path: &Path, errors: &mut Errors) {
    let mut count = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if !unset(peer, key) {
            count += 1;
            meta::label_selector(&peer[key], &path.child(key), errors);
        }
    }
    if !unset(peer, "ipBlock") {
        count += 1;
        let (block, at) = (&peer["ipBlock"], path.child("ipBlock"));
        let cidr = text(block, "cidr");
        if cidr.is_empty() {
            errors.push(FieldError::required(&at.child("cidr"), ""));
        } else {
            const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            let outer = rules::parse_cidr(cidr);
            if outer.is_none() {
                errors.push(FieldError::invalid_str(&at.child("cidr"), cidr, CIDR));
            }
            for (i, except) in items(&block["except"])
                .iter()
                .filter_map(Value::as_str)
                .enumerate()
            {
                let at = at.child("except").index(i);
                match (rules::parse_cidr(except), outer) {
                    (None, _) => errors.push(FieldError::invalid_str(&at, except, CIDR)),
                    (Some(inner), Some(outer))
                        if !(inner.1 > outer.1 && rules::cidr_contains(outer, inner.0)) =>
                    {
                        errors.push(FieldError::invalid_str(
                            &at,
                            except,
                            "must be a strict subset of `cidr`",
                        ));
                    }
                    _ => {}
                }
            }
        }
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if count > 1 && !unset(peer, "ipBlock") {
        errors.push(FieldError::forbidden(
            path,
            "may not specify both ipBlock and another peer",
        ));
    }
}
