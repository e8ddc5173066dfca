//! `autoscaling/v1` as a view of `autoscaling/v2`.

use serde_json::{Map, Value, json};

/// A stored (`v2`) HorizontalPodAutoscaler as `v1` shows it. What `v1` can't say stands in
/// annotations, as on the server.
pub(crate) fn to_v1(object: &mut Map<String, Value>) {
    let mut annotations = Map::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let mut others = Vec::new();
        for metric in list(spec.remove("metrics")) {
            if metric["type"] == "Resource"
                && metric["resource"]["name"] == "cpu"
                && metric["resource"]["target"]["type"] == "Utilization"
            {
                spec.insert(
                    "targetCPUUtilizationPercentage".to_owned(),
                    metric["resource"]["target"]["averageUtilization"].clone(),
                );
            } else {
                others.push(metric_to_v1(metric));
            }
        }
        if !others.is_empty() {
            annotations.insert(
                "autoscaling.alpha.kubernetes.io/metrics".to_owned(),
                json!(Value::Array(others).to_string()),
            );
        }
        if let Some(behavior) = spec.remove("behavior") {
            annotations.insert(
                "autoscaling.alpha.kubernetes.io/behavior".to_owned(),
                json!(behavior.to_string()),
            );
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let mut others = Vec::new();
        for metric in list(status.remove("currentMetrics")) {
            if metric["type"] == "Resource"
                && metric["resource"]["name"] == "cpu"
                && !metric["resource"]["current"]["averageUtilization"].is_null()
            {
                status.insert(
                    "currentCPUUtilizationPercentage".to_owned(),
                    metric["resource"]["current"]["averageUtilization"].clone(),
                );
            }
            others.push(metric);
        }
        if !others.is_empty() {
            annotations.insert(
                "autoscaling.alpha.kubernetes.io/current-metrics".to_owned(),
                json!(Value::Array(others).to_string()),
            );
        }
        if let Some(conditions) = status.remove("conditions") {
            annotations.insert(
                "autoscaling.alpha.kubernetes.io/conditions".to_owned(),
                json!(conditions.to_string()),
            );
        }
        status.entry("currentReplicas").or_insert_with(|| json!(0));
    }
    if !annotations.is_empty()
        && let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        let slot = meta.entry("annotations").or_insert_with(|| json!({}));
        if let Some(map) = slot.as_object_mut() {
            map.extend(annotations);
        }
    }
}

/// A `v1` HorizontalPodAutoscaler as it is stored.
pub(crate) fn from_v1(object: &mut Map<String, Value>) {
    let mut taken = Map::new();
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut)
    {
        for name in ["metrics", "behavior", "current-metrics", "conditions"] {
            if let Some(Value::String(text)) =
                annotations.remove(&format!("autoscaling.alpha.kubernetes.io/{name}"))
                && let Ok(value) = serde_json::from_str(&text)
            {
                taken.insert(name.to_owned(), value);
            }
        }
        if annotations.is_empty() {
            meta.remove("annotations");
        }
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let mut metrics: Vec<Value> = list(taken.remove("metrics"))
            .into_iter()
            .map(metric_to_v2)
            .collect();
        if let Some(target) = spec.remove("targetCPUUtilizationPercentage") {
            metrics.push(json!({"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}}));
        }
        if !metrics.is_empty() {
            spec.insert("metrics".to_owned(), Value::Array(metrics));
        }
        if let Some(behavior) = taken.remove("behavior") {
            spec.insert("behavior".to_owned(), behavior);
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let cpu = status.remove("currentCPUUtilizationPercentage");
        if let Some(metrics) = taken.remove("current-metrics") {
            status.insert("currentMetrics".to_owned(), metrics);
        } else if let Some(cpu) = cpu {
            status.insert(
                "currentMetrics".to_owned(),
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": cpu}}}]),
            );
        }
        if let Some(conditions) = taken.remove("conditions") {
            status.insert("conditions".to_owned(), conditions);
        }
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The old annotation spells targets without their `target` object.
fn metric_to_v1(mut metric: Value) -> Value {
    if let Some(resource) = metric.get_mut("resource").and_then(Value::as_object_mut)
        && let Some(target) = resource.remove("target")
    {
        for (new, old) in [
            ("averageUtilization", "targetAverageUtilization"),
            ("averageValue", "targetAverageValue"),
        ] {
            if let Some(value) = target.get(new) {
                resource.insert(old.to_owned(), value.clone());
            }
        }
    }
    metric
}

fn metric_to_v2(mut metric: Value) -> Value {
    if let Some(resource) = metric.get_mut("resource").and_then(Value::as_object_mut) {
        if let Some(value) = resource.remove("targetAverageUtilization") {
            resource.insert(
                "target".to_owned(),
                json!({"type": "Utilization", "averageUtilization": value}),
            );
        } else if let Some(value) = resource.remove("targetAverageValue") {
            resource.insert(
                "target".to_owned(),
                json!({"type": "AverageValue", "averageValue": value}),
            );
        }
    }
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same() {
        let stored = json!({
            "metadata": {"name": "x"},
            "spec": {"maxReplicas": 3, "metrics": [
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            ]},
        });
        let mut object = stored.as_object().unwrap().clone();
        to_v1(&mut object);
        assert_eq!(object["spec"]["targetCPUUtilizationPercentage"], 80);
        from_v1(&mut object);
        assert_eq!(Value::Object(object), stored);
    }
}
