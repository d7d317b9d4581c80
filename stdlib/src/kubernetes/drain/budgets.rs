//! Disruption budgets: which of them hold a pod at the moment. The server decides; this says why.
use super::pods::Pod;
use serde_json::Value;

/// The disruption budgets of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Budgets(Vec<Value>);

impl Budgets {
    /// These PodDisruptionBudget objects.
    pub fn new(objects: Vec<Value>) -> Self {
        Self(objects)
    }

    /// The budget that allows no disruption of a pod now, and what it says; `None` when the pod may go.
    pub fn holding(&self, pod: &Pod) -> Option<String> {
        let of_pod =
            |budget: &&Value| budget["metadata"]["namespace"] == pod.namespace.as_str() && selects(&budget["spec"]["selector"], pod);
        let none_left = |budget: &&Value| budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) <= 0;
        let budget = self.0.iter().filter(of_pod).find(none_left)?;
        let number = |name: &str| budget["status"][name].as_i64().unwrap_or(0);
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        Some(format!(
            "the disruption budget {}/{name} needs {} healthy pods and has {}",
            pod.namespace,
            number("desiredHealthy"),
            number("currentHealthy")
        ))
    }
}

/// Whether a label selector selects a pod. An empty one selects every pod of its namespace, a missing one none.
fn selects(selector: &Value, pod: &Pod) -> bool {
    let Some(selector) = selector.as_object() else { return false };
    let label = |name: &str| pod.labels.get(name).map(String::as_str);
    let wanted = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let mut wanted = wanted.map(|(name, value)| label(name) == value.as_str());
    let mut expressions = expressions.map(|expression| {
        let found = label(expression["key"].as_str().unwrap_or_default());
        let among = expression["values"].as_array().into_iter().flatten().any(|value| found.is_some() && value.as_str() == found);
        match expression["operator"].as_str() {
            Some("In") => among,
            Some("NotIn") => !among,
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => false,
        }
    });
    wanted.all(|fits| fits) && expressions.all(|fits| fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_budget_holds_the_pods_that_it_selects_while_none_may_go() {
        let pod =
            |labels: Value| Pod::of(&json!({ "metadata": { "namespace": "default", "name": "web-1", "labels": labels } })).expect("a pod");
        let budget = |selector: Value, allowed: i64| {
            Budgets::new(vec![json!({ "metadata": { "namespace": "default", "name": "web" }, "spec": { "selector": selector },
                "status": { "disruptionsAllowed": allowed, "desiredHealthy": 2, "currentHealthy": 2 } })])
        };
        let web = pod(json!({ "app": "web" }));
        let by_label = json!({ "matchLabels": { "app": "web" } });
        assert_eq!(
            budget(by_label.clone(), 0).holding(&web).as_deref(),
            Some("the disruption budget default/web needs 2 healthy pods and has 2")
        );
        assert_eq!(budget(by_label, 1).holding(&web), None);
        let holds = |selector: Value| budget(selector, 0).holding(&web).is_some();
        let expression =
            |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "app", "operator": operator, "values": values }] });
        assert!(holds(json!({})) && !holds(Value::Null) && !holds(json!({ "matchLabels": { "app": "other" } })));
        assert!(holds(expression("In", json!(["web"]))) && !holds(expression("NotIn", json!(["web"]))));
        assert!(holds(expression("Exists", Value::Null)) && !holds(expression("DoesNotExist", Value::Null)));
    }
}
