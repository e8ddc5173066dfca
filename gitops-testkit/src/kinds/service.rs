//! Services: cluster IPs, node ports, and the fields that depend on the type.

use serde_json::{Value, json};

use super::{
    error::{FieldError, Path},
    value::{items, items_mut, object, remove, set, set_default, text, unset},
};

/// Hands out cluster IPs and node ports. The server's state of them outlives one request.
///
/// A dry run passes none.
pub trait ServiceAllocator {
    /// Takes `wanted`, or any free address of the service range.
    ///
    /// # Errors
    ///
    /// Why `wanted` can't be had, in the server's words: `provided IP is already allocated`,
    /// `the provided network does not match the current range`.
    fn take_ip(&mut self, wanted: Option<&str>) -> Result<String, String>;
    /// Gives an address back.
    fn release_ip(&mut self, ip: &str);
    /// Takes `wanted`, or any free port from 30000 to 32767.
    ///
    /// # Errors
    ///
    /// `provided port is already allocated`, or that it is out of range.
    fn take_port(&mut self, wanted: Option<i64>) -> Result<i64, String>;
    /// Gives a port back.
    fn release_port(&mut self, port: i64);
}

/// Whether the type has cluster IPs.
pub(crate) fn needs_ip(spec: &Value) -> bool {
    matches!(
        text(spec, "type"),
        "ClusterIP" | "NodePort" | "LoadBalancer"
    )
}

fn needs_node_port(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

/// Whether traffic from outside reaches the service.
pub(crate) fn is_external(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !items(&spec["externalIPs"]).is_empty(),
        _ => false,
    }
}

/// Whether a load balancer must ask nodes for their health.
pub(crate) fn needs_health_port(spec: &Value) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

/// Keeps `clusterIP` and `clusterIPs` the same address where a client set only one.
pub(super) fn normalize_ips(obj: &mut Value, old: Option<&Value>) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    let ip = text(spec, "clusterIP").to_owned();
    match old {
        None => {
            if !ip.is_empty() && items(&spec["clusterIPs"]).is_empty() {
                set(spec, "clusterIPs", json!([ip]));
            }
        }
        Some(old) => {
            let old = &old["spec"];
            let same_list = spec["clusterIPs"] == old["clusterIPs"];
            if text(old, "clusterIP") != ip && same_list {
                if ip.is_empty() {
                    remove(spec, "clusterIPs");
                } else if let Some(Value::Array(list)) = spec.get_mut("clusterIPs") {
                    if let Some(first) = list.first_mut() {
                        *first = json!(ip);
                    }
                } else {
                    set(spec, "clusterIPs", json!([ip]));
                }
            } else if text(old, "clusterIP") == ip && !same_list && !ip.is_empty() {
                // The list was cleared or changed alone: cleared both, if cleared.
                if items(&spec["clusterIPs"]).is_empty() && !items(&old["clusterIPs"]).is_empty() {
                    remove(spec, "clusterIP");
                }
            }
        }
    }
}

/// Takes from `old` what the server chose, and drops what the new type doesn't have.
pub(super) fn prepare_update(obj: &mut Value, old: &Value) {
    normalize_ips(obj, Some(old));
    let old = &old["spec"];
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    if needs_ip(old) && needs_ip(spec) {
        if text(spec, "clusterIP").is_empty() {
            copy_text(spec, old, "clusterIP");
        }
        if items(&spec["clusterIPs"]).is_empty()
            && spec["clusterIP"] == old["clusterIP"]
            && !unset(old, "clusterIPs")
        {
            set(spec, "clusterIPs", old["clusterIPs"].clone());
        }
    }
    if needs_node_port(old) && needs_node_port(spec) {
        let known: Vec<(Value, Value, i64)> = items(&old["ports"])
            .iter()
            .filter_map(|p| {
                Some((
                    p["port"].clone(),
                    p["protocol"].clone(),
                    p["nodePort"].as_i64()?,
                ))
            })
            .collect();
        let used: Vec<i64> = items(&spec["ports"])
            .iter()
            .filter_map(|p| p["nodePort"].as_i64())
            .collect();
        for port in items_mut(spec, "ports") {
            if port["nodePort"].as_i64().unwrap_or(0) == 0 {
                let found = known.iter().find(|(number, protocol, node)| {
                    *number == port["port"] && *protocol == port["protocol"] && !used.contains(node)
                });
                if let Some((_, _, node)) = found {
                    set(port, "nodePort", *node);
                }
            }
        }
    }
    if needs_health_port(old)
        && needs_health_port(spec)
        && unset(spec, "healthCheckNodePort")
        && let Some(port) = old.get("healthCheckNodePort")
    {
        set(spec, "healthCheckNodePort", port.clone());
    }
    drop_dependent(spec, old);
}

fn copy_text(to: &mut Value, from: &Value, key: &str) {
    if !text(from, key).is_empty() {
        set(to, key, text(from, key));
    }
}

/// Fields that a client did not change and that the new type doesn't have.
fn drop_dependent(spec: &mut Value, old: &Value) {
    if needs_ip(old) && !needs_ip(spec) {
        for key in [
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
        ] {
            if spec.get(key) == old.get(key) {
                remove(spec, key);
            }
        }
    }
    if needs_node_port(old) && !needs_node_port(spec) {
        let ports = |s: &Value| {
            items(&s["ports"])
                .iter()
                .map(|p| p["nodePort"].clone())
                .collect::<Vec<_>>()
        };
        if ports(spec) == ports(old) {
            for port in items_mut(spec, "ports") {
                remove(port, "nodePort");
            }
        }
    }
    for (key, was, is) in [
        (
            "healthCheckNodePort",
            needs_health_port(old),
            needs_health_port(spec),
        ),
        ("externalTrafficPolicy", is_external(old), is_external(spec)),
        (
            "allocateLoadBalancerNodePorts",
            text(old, "type") == "LoadBalancer",
            text(spec, "type") == "LoadBalancer",
        ),
        (
            "loadBalancerClass",
            text(old, "type") == "LoadBalancer",
            text(spec, "type") == "LoadBalancer",
        ),
    ] {
        if was && !is && spec.get(key) == old.get(key) {
            remove(spec, key);
        }
    }
}

/// Gives a Service the addresses and ports it needs and takes back those it no longer has.
///
/// Call it after validation, as the last step before the object is stored. Other kinds have
/// nothing to allocate. A dry run has no allocator: families are chosen, addresses are not.
///
/// # Errors
///
/// Field errors for [`invalid_status`](super::invalid_status); what was taken before the
/// error is given back.
pub fn allocate(
    obj: &mut Value,
    old: Option<&Value>,
    allocator: Option<&mut dyn ServiceAllocator>,
) -> Result<(), Vec<FieldError>> {
    families(obj)?;
    let Some(allocator) = allocator else {
        return Ok(());
    };
    let empty = Value::Null;
    let old_spec = old.map_or(&empty, |o| &o["spec"]);
    let mut taken = Taken::default();
    let result = take(obj, old_spec, allocator, &mut taken);
    if result.is_err() {
        taken.ips.iter().for_each(|ip| allocator.release_ip(ip));
        taken
            .ports
            .iter()
            .for_each(|port| allocator.release_port(*port));
        return result;
    }
    if let Some(old) = old {
        let (before, after) = (held(old), held(obj));
        before
            .ips
            .iter()
            .filter(|ip| !after.ips.contains(ip))
            .for_each(|ip| allocator.release_ip(ip));
        before
            .ports
            .iter()
            .filter(|p| !after.ports.contains(p))
            .for_each(|p| allocator.release_port(*p));
    }
    Ok(())
}

/// Gives back all that a deleted Service held.
pub fn release(obj: &Value, allocator: &mut dyn ServiceAllocator) {
    let held = held(obj);
    held.ips.iter().for_each(|ip| allocator.release_ip(ip));
    held.ports
        .iter()
        .for_each(|port| allocator.release_port(*port));
}

#[derive(Default)]
struct Taken {
    ips: Vec<String>,
    ports: Vec<i64>,
}

fn held(obj: &Value) -> Taken {
    let spec = &obj["spec"];
    let mut out = Taken::default();
    if needs_ip(spec) {
        out.ips.extend(
            items(&spec["clusterIPs"])
                .iter()
                .filter_map(Value::as_str)
                .filter(|ip| *ip != "None")
                .map(str::to_owned),
        );
    }
    for port in items(&spec["ports"])
        .iter()
        .map(|p| &p["nodePort"])
        .chain([&spec["healthCheckNodePort"]])
    {
        if let Some(port) = port.as_i64().filter(|p| *p != 0 && !out.ports.contains(p)) {
            out.ports.push(port);
        }
    }
    out
}

/// The IP families, for a cluster with IPv4 only.
fn families(obj: &mut Value) -> Result<(), Vec<FieldError>> {
    let path = Path::new("spec");
    let Some(spec) = object(obj, "spec") else {
        return Ok(());
    };
    if !needs_ip(spec) {
        return Ok(());
    }
    let headless = text(spec, "clusterIP") == "None";
    let selectorless = spec["selector"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    if headless && selectorless {
        set_default(spec, "ipFamilyPolicy", "RequireDualStack");
        if items(&spec["ipFamilies"]).is_empty() {
            set(spec, "ipFamilies", json!(["IPv4"]));
        }
        if items(&spec["ipFamilies"]).len() < 2 && text(spec, "ipFamilyPolicy") != "SingleStack" {
            let other = if spec["ipFamilies"][0] == "IPv4" {
                "IPv6"
            } else {
                "IPv4"
            };
            if let Some(Value::Array(list)) = spec.get_mut("ipFamilies") {
                list.push(json!(other));
            }
        }
        return Ok(());
    }
    let mut errors = Vec::new();
    if text(spec, "ipFamilyPolicy") == "RequireDualStack" {
        errors.push(FieldError::invalid_str(
            &path.child("ipFamilyPolicy"),
            "RequireDualStack",
            "this cluster is not configured for dual-stack services",
        ));
    }
    for (i, family) in items(&spec["ipFamilies"]).iter().enumerate() {
        if family != "IPv4" {
            errors.push(FieldError::invalid(
                &path.child("ipFamilies").index(i),
                family,
                "not configured on this cluster",
            ));
        }
    }
    if !headless {
        for (i, ip) in items(&spec["clusterIPs"]).iter().enumerate() {
            if ip.as_str().is_some_and(|ip| ip.contains(':')) && unset(spec, "ipFamilies") {
                errors.push(FieldError::invalid(
                    &path.child("clusterIPs").index(i),
                    ip,
                    "may not use IPv6 on a cluster which is not configured for it",
                ));
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    set_default(spec, "ipFamilyPolicy", "SingleStack");
    if items(&spec["ipFamilies"]).is_empty() {
        set(spec, "ipFamilies", json!(["IPv4"]));
    }
    Ok(())
}

fn take(
    obj: &mut Value,
    old: &Value,
    allocator: &mut dyn ServiceAllocator,
    taken: &mut Taken,
) -> Result<(), Vec<FieldError>> {
    let path = Path::new("spec");
    let Some(spec) = object(obj, "spec") else {
        return Ok(());
    };
    if needs_ip(spec) && text(spec, "clusterIP") != "None" {
        let had_ip =
            needs_ip(old) && !text(old, "clusterIP").is_empty() && text(old, "clusterIP") != "None";
        if !(had_ip && old["clusterIP"] == spec["clusterIP"]) {
            let wanted = Some(text(spec, "clusterIP").to_owned()).filter(|ip| !ip.is_empty());
            let ip = allocator.take_ip(wanted.as_deref()).map_err(|why| {
                let shown = wanted.as_deref().unwrap_or_default();
                vec![FieldError::invalid(
                    &path.child("clusterIPs"),
                    &spec["clusterIPs"],
                    format!("failed to allocate IP {shown}: {why}"),
                )]
            })?;
            taken.ips.push(ip.clone());
            set(spec, "clusterIP", ip.clone());
            set(spec, "clusterIPs", json!([ip]));
        }
    }
    if needs_node_port(spec) {
        let mut mine: Vec<i64> = items(&old["ports"])
            .iter()
            .filter_map(|p| p["nodePort"].as_i64())
            .collect();
        // One number serves TCP and UDP on the same port.
        let mut chosen: Vec<(i64, String, i64)> = Vec::new();
        for (i, port) in items_mut(spec, "ports").iter_mut().enumerate() {
            let wanted = port["nodePort"].as_i64().filter(|p| *p != 0);
            let number = port["port"].as_i64().unwrap_or(0);
            let protocol = text(port, "protocol").to_owned();
            let shared = match wanted {
                Some(wanted) => mine.contains(&wanted).then_some(wanted),
                None => chosen
                    .iter()
                    .find(|(n, p, _)| *n == number && *p != protocol)
                    .map(|(_, _, node)| *node),
            };
            let node = match shared {
                Some(node) => node,
                None => {
                    let node = allocator.take_port(wanted).map_err(|why| {
                        vec![FieldError::invalid(
                            &path.child("ports").index(i).child("nodePort"),
                            &json!(wanted.unwrap_or(0)),
                            why,
                        )]
                    })?;
                    taken.ports.push(node);
                    mine.push(node);
                    node
                }
            };
            chosen.push((number, protocol, node));
            set(port, "nodePort", node);
        }
    }
    if needs_health_port(spec) {
        let wanted = spec["healthCheckNodePort"].as_i64().filter(|p| *p != 0);
        let had = old["healthCheckNodePort"].as_i64();
        if wanted.is_none() || wanted != had {
            let port = allocator.take_port(wanted).map_err(|why| {
                vec![FieldError::invalid(
                    &path.child("healthCheckNodePort"),
                    &json!(wanted.unwrap_or(0)),
                    format!(
                        "failed to allocate requested HealthCheck NodePort {}: {why}",
                        wanted.unwrap_or(0)
                    ),
                )]
            })?;
            taken.ports.push(port);
            set(spec, "healthCheckNodePort", port);
        }
    }
    Ok(())
}
