//! Services.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kinds::{
    dump,
    error::{FieldError, Path},
    meta, rules,
    service::{is_external, needs_health_port},
    value::{items, text, unset},
};

use super::{Errors, one_of, pod};

pub(super) fn service(obj: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let spec = &obj["spec"];
    let kind = text(spec, "type");
    let headless = items(&spec["clusterIPs"])
        .first()
        .is_some_and(|ip| ip == "None");
    let ports = items(&spec["ports"]);
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" => {
            if kind == "LoadBalancer" {
                for (i, port) in ports.iter().enumerate().filter(|(_, p)| p["port"] == 10250) {
                    errors.push(FieldError::invalid(
                        &path.child("ports").index(i).child("port"),
                        &port["port"],
                        "may not expose port 10250 externally since it is used by kubelet",
                    ));
                }
            }
            if headless {
                errors.push(FieldError::invalid_str(
                    &path.child("clusterIPs").index(0),
                    "None",
                    format!("may not be set to 'None' for {kind} services"),
                ));
            }
        }
        "ExternalName" => {
            for key in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !unset(spec, key) {
                    errors.push(FieldError::forbidden(
                        &path.child(key),
                        "may not be set for ExternalName services",
                    ));
                }
            }
            let name = text(spec, "externalName");
            let name = name.strip_suffix('.').unwrap_or(name);
            let at = path.child("externalName");
            if name.is_empty() {
                errors.push(FieldError::required(&at, ""));
            } else {
                errors.extend(
                    rules::dns_subdomain(name)
                        .into_iter()
                        .map(|m| FieldError::invalid_str(&at, name, m)),
                );
            }
        }
        _ => {}
    }
    let mut names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        self::port(
            port,
            ports.len() > 1,
            &mut names,
            &path.child("ports").index(i),
            errors,
        );
    }
    meta::labels(&spec["selector"], &path.child("selector"), errors);
    match text(spec, "sessionAffinity") {
        "" => errors.push(FieldError::required(&path.child("sessionAffinity"), "")),
        _ => one_of(
            spec,
            "sessionAffinity",
            &["ClientIP", "None"],
            &path,
            errors,
        ),
    }
    if text(spec, "sessionAffinity") == "ClientIP" {
        let seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
            .as_i64()
            .unwrap_or(0);
        if !(1..=86400).contains(&seconds) {
            errors.push(FieldError::invalid(
                &path
                    .child("sessionAffinityConfig")
                    .child("clientIP")
                    .child("timeoutSeconds"),
                &json!(seconds),
                "must be greater than 0 and less than 86400",
            ));
        }
    }
    cluster_ips(spec, headless, &path, errors);
    for (i, ip) in items(&spec["externalIPs"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let at = path.child("externalIPs").index(i);
        let found = rules::ip(ip);
        if found.is_empty() {
            special(ip, &at, errors);
        }
        errors.extend(
            found
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, ip, m)),
        );
    }
    match kind {
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        _ => one_of(
            spec,
            "type",
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
            &path,
            errors,
        ),
    }
    if kind == "ClusterIP" {
        for (i, port) in ports.iter().enumerate() {
            if port["nodePort"].as_i64().unwrap_or(0) != 0 {
                errors.push(FieldError::forbidden(
                    &path.child("ports").index(i).child("nodePort"),
                    "may not be used when `type` is 'ClusterIP'",
                ));
            }
        }
    }
    let mut nodes = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let node = port["nodePort"].as_i64().unwrap_or(0);
        if node != 0 && !nodes.insert((text(port, "protocol"), node)) {
            errors.push(FieldError::duplicate(
                &path.child("ports").index(i).child("nodePort"),
                &json!(node),
            ));
        }
    }
    let mut numbers = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        if !numbers.insert((text(port, "protocol"), port["port"].as_i64().unwrap_or(0))) {
            let key = json!({"protocol": port["protocol"], "port": port["port"]});
            errors.push(FieldError::duplicate_raw(
                &path.child("ports").index(i),
                dump::internal("core.v1.ServicePort", &key),
            ));
        }
    }
    for (i, range) in items(&spec["loadBalancerSourceRanges"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        if kind != "LoadBalancer" {
            errors.push(FieldError::forbidden(
                &path.child("loadBalancerSourceRanges"),
                "may only be used when `type` is 'LoadBalancer'",
            ));
            break;
        }
        if rules::parse_cidr(range.trim()).is_none() {
            errors.push(FieldError::invalid_str(
                &path.child("loadBalancerSourceRanges").index(i),
                range,
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ));
        }
    }
    if !unset(spec, "allocateLoadBalancerNodePorts") && kind != "LoadBalancer" {
        errors.push(FieldError::forbidden(
            &path.child("allocateLoadBalancerNodePorts"),
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    if !unset(spec, "loadBalancerClass") && kind != "LoadBalancer" {
        errors.push(FieldError::forbidden(
            &path.child("loadBalancerClass"),
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    let policy = text(spec, "externalTrafficPolicy");
    let at = path.child("externalTrafficPolicy");
    if !is_external(spec) {
        if !policy.is_empty() {
            errors.push(FieldError::invalid_str(
                &at,
                policy,
                "may only be set for externally-accessible services",
            ));
        }
    } else if policy.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        one_of(
            spec,
            "externalTrafficPolicy",
            &["Cluster", "Local"],
            &path,
            errors,
        );
    }
    let health = spec["healthCheckNodePort"].as_i64().unwrap_or(0);
    if health != 0 && !needs_health_port(spec) {
        errors.push(FieldError::invalid(
            &path.child("healthCheckNodePort"),
            &json!(health),
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ));
    }
    if !text(spec, "internalTrafficPolicy").is_empty() {
        one_of(
            spec,
            "internalTrafficPolicy",
            &["Cluster", "Local"],
            &path,
            errors,
        );
    }
}

fn port<'a>(
    port: &'a Value,
    named: bool,
    names: &mut BTreeSet<&'a str>,
    path: &Path,
    errors: &mut Errors,
) {
    let name = text(port, "name");
    let at = path.child("name");
    if name.is_empty() {
        if named {
            errors.push(FieldError::required(&at, ""));
        }
    } else {
        errors.extend(
            rules::dns_label(name)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, name, m)),
        );
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&at, &json!(name)));
        }
    }
    let number = port["port"].as_i64().unwrap_or(0);
    errors.extend(
        rules::port(number)
            .into_iter()
            .map(|m| FieldError::invalid(&path.child("port"), &json!(number), m)),
    );
    match text(port, "protocol") {
        "" => errors.push(FieldError::required(&path.child("protocol"), "")),
        _ => one_of(port, "protocol", &["SCTP", "TCP", "UDP"], path, errors),
    }
    pod::port_or_name(&port["targetPort"], &path.child("targetPort"), errors);
    let protocol = text(port, "appProtocol");
    if !protocol.is_empty() {
        let at = path.child("appProtocol");
        errors.extend(
            rules::qualified_name(protocol)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, protocol, m)),
        );
    }
}

fn cluster_ips(spec: &Value, headless: bool, path: &Path, errors: &mut Errors) {
    let ips = items(&spec["clusterIPs"]);
    let single = text(spec, "clusterIP");
    if single.is_empty() && !ips.is_empty() && text(spec, "type") != "ExternalName" {
        errors.push(FieldError::required(&path.child("clusterIP"), ""));
    }
    if !single.is_empty() && ips.first().is_some_and(|ip| *ip != single) {
        errors.push(FieldError::invalid(
            &path.child("clusterIPs"),
            &spec["clusterIPs"],
            "first value must match `clusterIP`",
        ));
    }
    let families = items(&spec["ipFamilies"]);
    for (i, family) in families.iter().enumerate() {
        if family != "IPv4" && family != "IPv6" {
            errors.push(FieldError::not_supported(
                &path.child("ipFamilies").index(i),
                family,
                &["IPv4", "IPv6"],
            ));
        }
    }
    if !text(spec, "ipFamilyPolicy").is_empty() {
        one_of(
            spec,
            "ipFamilyPolicy",
            &["SingleStack", "PreferDualStack", "RequireDualStack"],
            path,
            errors,
        );
    }
    for (i, ip) in ips.iter().filter_map(Value::as_str).enumerate() {
        let at = path.child("clusterIPs").index(i);
        if i == 0 && headless {
            if ips.len() > 1 {
                errors.push(FieldError::invalid(
                    &path.child("clusterIPs"),
                    &spec["clusterIPs"],
                    "'None' must be the first and only value",
                ));
            }
            continue;
        }
        // A value in the store may be a placeholder of a replay; what the server chose is not checked again.
        errors.extend(
            rules::ip(ip)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, ip, m)),
        );
    }
}

fn special(ip: &str, path: &Path, errors: &mut Errors) {
    let Ok(address) = ip.parse::<std::net::IpAddr>() else {
        return;
    };
    let mut push = |why: &str| errors.push(FieldError::invalid_str(path, ip, why));
    if address.is_unspecified() {
        push("may not be unspecified (0.0.0.0 or ::)");
    }
    if address.is_loopback() {
        push("may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, link_multicast) = match address {
        std::net::IpAddr::V4(v4) => (v4.is_link_local(), v4.octets().starts_with(&[224, 0, 0])),
        std::net::IpAddr::V6(v6) => (
            v6.segments()[0] & 0xffc0 == 0xfe80,
            v6.segments()[0] & 0xff0f == 0xff02,
        ),
    };
    if link_local {
        push("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_multicast {
        push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Addresses that may not change once they are set.
pub(super) fn update(obj: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let (new, old) = (&obj["spec"], &old["spec"]);
    let has_ips = |s: &Value| matches!(text(s, "type"), "ClusterIP" | "NodePort" | "LoadBalancer");
    if !has_ips(new) || !has_ips(old) {
        return;
    }
    if let Some(first) = items(&old["clusterIPs"]).first() {
        match items(&new["clusterIPs"]).first() {
            Some(now) if now != first => errors.push(FieldError::invalid(
                &path.child("clusterIPs").index(0),
                &new["clusterIPs"],
                "may not change once set",
            )),
            None => errors.push(FieldError::invalid(
                &path.child("clusterIPs").index(0),
                &new["clusterIPs"],
                "primary clusterIP can not be unset",
            )),
            _ => {}
        }
    }
    if let (Some(was), Some(now)) = (
        items(&old["ipFamilies"]).first(),
        items(&new["ipFamilies"]).first(),
    ) && was != now
    {
        errors.push(FieldError::invalid(
            &path.child("ipFamilies").index(0),
            &new["ipFamilies"],
            "may not change once set",
        ));
    }
}

pub(super) fn status(obj: &Value, errors: &mut Errors) {
    let ingress = items(&obj["status"]["loadBalancer"]["ingress"]);
    let path = Path::new("status.loadBalancer.ingress");
    if !ingress.is_empty() && text(&obj["spec"], "type") != "LoadBalancer" {
        errors.push(FieldError::forbidden(
            &path,
            "may only be used when `spec.type` is 'LoadBalancer'",
        ));
        return;
    }
    for (i, entry) in ingress.iter().enumerate() {
        let ip = text(entry, "ip");
        if !ip.is_empty() {
            errors.extend(
                rules::ip(ip)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&path.index(i).child("ip"), ip, m)),
            );
        }
        let host = text(entry, "hostname");
        if !host.is_empty() {
            let at = path.index(i).child("hostname");
            errors.extend(
                rules::dns_subdomain(host)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at, host, m)),
            );
            if host.parse::<std::net::IpAddr>().is_ok() {
                errors.push(FieldError::invalid_str(
                    &at,
                    host,
                    "must be a DNS name, not an IP address",
                ));
            }
        }
    }
}
