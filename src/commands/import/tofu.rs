//! What OpenTofu knew: the machines that it made, from `tofu output -json`, and the literals of its files that decided what machines were like.
use super::text::Problem;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A machine as `cluster_summary` has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Machine {
    /// Its VM id.
    #[serde(rename = "VM_ID")]
    pub vmid: u32,
    /// Its full host name.
    pub hostname: String,
    /// The first address that its agent told, or `N/A`; of a node with pods that may be one of theirs.
    #[serde(rename = "IP")]
    pub address: Option<String>,
}

/// The machines of one environment by OpenTofu's key, `ubuntu-worker-1`.
pub type Machines = BTreeMap<String, Machine>;

/// Reads what `tofu output -json` printed.
///
/// # Errors
/// [`Problem`] without any of the text: outputs may hold passwords.
pub fn outputs(file: &str, text: &str) -> Result<Machines, Problem> {
    #[derive(Deserialize)]
    struct Output {
        value: serde_json::Value,
    }
    let help = "in the folder of the OpenTofu files: `tofu workspace select NAME`, then `tofu output -json > NAME.json`";
    let not_read = |what: &str, error: serde_json::Error| {
        Problem::of(format!("{file}: {what} (line {}, column {})", error.line(), error.column()), help)
    };
    let all: BTreeMap<String, Output> =
        serde_json::from_str(text).map_err(|error| not_read("not what `tofu output -json` prints", error))?;
    let summary = all.get("cluster_summary").ok_or_else(|| Problem::of(format!("{file}: there is no output `cluster_summary`"), help))?;
    let machines: Machines = serde_json::from_value(summary.value.clone())
        .map_err(|_| Problem::of(format!("{file}: `cluster_summary` is not a map of machines with VM_ID, hostname and IP"), help))?;
    match machines.is_empty() {
        true => Err(Problem::of(format!("{file}: `cluster_summary` names no machine"), help)),
        false => Ok(machines),
    }
}

/// What the `.tf` files say in literals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Literals {
    /// `workspace_ip_map`: which block of addresses and ids each environment has.
    pub blocks: BTreeMap<String, u32>,
    /// The defaults of variables.
    pub defaults: BTreeMap<String, String>,
}

impl Literals {
    /// The old system's own values, where its files do not say otherwise.
    pub fn of_the_old_system() -> Self {
        let blocks = [("ubuntu", 1), ("debian", 2), ("rocky", 3), ("suse", 4), ("k8s133", 5)];
        let defaults = [
            ("pm_node", "homelab"),
            ("network_bridge", "vmbr0"),
            ("vm_cpu_cores", "2"),
            ("vm_memory_dedicated", "2048"),
            ("vm_disk_size", "20"),
            ("vm_started", "true"),
            ("vm_domain", ".bevz.net"),
            ("network_cidr", "10.10.10.0/24"),
            ("static_ip_start", "110"),
            ("workspace_ip_block_size", "10"),
        ];
        Self {
            blocks: blocks.map(|(name, block)| (name.to_owned(), block)).into(),
            defaults: defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }

    /// Takes what a `.tf` file says: `default = LITERAL` of each `variable`, and all of `workspace_ip_map` if it is there.
    pub fn add(&mut self, text: &str) {
        let (mut variable, mut in_map, mut depth) = (None, false, 0_i32);
        for line in text.lines() {
            let line = without_comment(line).trim();
            let words = line.strip_suffix('{').map(str::trim);
            if depth == 0 {
                variable = words.and_then(|words| words.strip_prefix("variable")).and_then(|name| literal(name.trim()));
            }
            if words
                .is_some_and(|words| words.split('=').next().is_some_and(|name| name.trim() == "workspace_ip_map") && words.contains('='))
            {
                in_map = true;
                self.blocks.clear();
            } else if in_map && line.starts_with('}') {
                in_map = false;
            } else if let Some((name, value)) = line.split_once('=') {
                match (&variable, literal(name.trim()), literal(value.trim())) {
                    (_, Some(name), Some(value)) if in_map => {
                        if let Ok(block) = value.parse() {
                            self.blocks.insert(name, block);
                        }
                    }
                    (Some(variable), Some(name), Some(value)) if depth == 1 && name == "default" => {
                        self.defaults.insert(variable.clone(), value);
                    }
                    _ => {}
                }
            }
            let count = |sign: char| i32::try_from(outside_quotes(line).filter(|found| *found == sign).count()).unwrap_or_default();
            depth += count('{') - count('}');
        }
    }
}

/// A text, number, word or boolean; `None` for anything that has to be computed.
fn literal(text: &str) -> Option<String> {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let plain = || text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)).then_some(text);
    let found = quoted.filter(|text| !text.contains(['"', '\\']) && !text.contains("${")).or_else(plain)?;
    (!found.is_empty() || quoted.is_some()).then(|| found.to_owned())
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, sign) in line.char_indices() {
        match sign {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            '/' if !quoted && line[at..].starts_with("//") => return &line[..at],
            _ => {}
        }
    }
    line
}

fn outside_quotes(line: &str) -> impl Iterator<Item = char> + '_ {
    let mut quoted = false;
    line.chars().filter(move |sign| {
        quoted ^= *sign == '"';
        !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_come_from_the_output_of_that_name() {
        let text = r#"{"cluster_summary":{"sensitive":false,"type":["object",{}],"value":{"u-worker-1":{"VM_ID":421,"hostname":"wu1.bevz.net","IP":"10.10.10.125"}}},"password":{"sensitive":true,"type":"string","value":"made-up"}}"#;
        let machine = Machine { vmid: 421, hostname: "wu1.bevz.net".into(), address: Some("10.10.10.125".into()) };
        assert_eq!(outputs("o.json", text).unwrap(), Machines::from([("u-worker-1".into(), machine)]));
        for (text, message) in [
            ("{", "o.json: not what `tofu output -json` prints (line 1, column 1)"),
            (r#"{"other":{"value":1}}"#, "o.json: there is no output `cluster_summary`"),
            (r#"{"cluster_summary":{"value":[1]}}"#, "o.json: `cluster_summary` is not a map of machines with VM_ID, hostname and IP"),
            (r#"{"cluster_summary":{"value":{}}}"#, "o.json: `cluster_summary` names no machine"),
        ] {
            assert_eq!(outputs("o.json", text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn literals_count_and_what_is_computed_does_not() {
        let mut literals = Literals::of_the_old_system();
        literals.add(
            "# variable \"x\" { default = 9\nvariable \"vm_domain\" {\n  description = \"a { brace\"\n  default     = \".site.test\" # mind the dot\n}\nvariable \"vm_cpu_cores\" {\n  type = number\n  default = 4\n  validation {\n    default = 9\n  }\n}\nvariable \"pm_node\" {\n  default = \"${path.module}\"\n}\n",
        );
        let default = |name: &str| literals.defaults.get(name).map(String::as_str);
        assert_eq!((default("vm_domain"), default("vm_cpu_cores")), (Some(".site.test"), Some("4")));
        assert_eq!((default("pm_node"), default("x")), (Some("homelab"), None));
        literals.add("locals {\n  workspace_ip_map = {\n    \"green\" = 7 // added\n    \"blue\"=2\n    \"odd\" = 1 + 1\n  }\n  other = {\n    \"red\" = 3\n  }\n}\n");
        assert_eq!(literals.blocks, BTreeMap::from([("green".into(), 7), ("blue".into(), 2)]));
    }
}
