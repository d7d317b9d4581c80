//! The `sops` module: names of secrets, which scripts can pass on and never see.
use kthw_engine::{Rhai, SecretRef, note_secret, secret_as_text, throw};
pub use kthw_sops::Secrets;
use rhai::{Dynamic, Engine, ImmutableString, Module, NativeCallContext, plugin::*};

/// The module as scripts see it.
pub fn module() -> Module {
    exported_module!(api)
}

#[export_module]
mod api {
    use super::{BadName, note_secret, throw};
    use kthw_engine::{Rhai, SecretRef};

    /// Names a secret of the workspace's `secrets.sops.yaml`, by its dotted path. A list item is named by its position from 0.
    ///
    /// What it returns can be passed as an option that takes a secret, and nothing else: it cannot be compared or become part of
    /// a text, and it prints as its name. The file is decrypted only when a run uses the value.
    ///
    /// ```rhai
    /// let token = sops::secret("registry.token");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn secret(cx: NativeCallContext, name: &str) -> Rhai<SecretRef> {
        let fits = !name.is_empty() && !name.split('.').any(str::is_empty) && !name.chars().any(|c| c.is_whitespace() || c == '>');
        if !fits {
            return throw(&cx, BadName { name: name.into() });
        }
        let secret = SecretRef { name: name.into() };
        note_secret(&cx, &secret);
        Ok(secret)
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{name}` does not name a secret")]
#[diagnostic(code(kthw::sops::name), help("write the keys on the way to it with dots between them, such as `proxmox.token`"))]
struct BadName {
    name: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the secret `{name}` cannot be {deed}")]
#[diagnostic(
    code(kthw::sops::opaque),
    help(
        "a script never sees a secret's value: pass it whole, as an option that takes a secret, and let the file hold the whole text that you need"
    )
)]
struct Opaque {
    name: String,
    deed: &'static str,
}

/// Makes every use of a secret but passing it on an error that says so.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<SecretRef>("Secret");
    // Interpolation swallows errors, so it prints the name; an option that gets such a text refuses it, and else the recipe is refused.
    engine.register_fn("to_string", |cx: NativeCallContext, secret: &mut SecretRef| secret_as_text(&cx, secret));
    engine.register_fn("to_debug", |cx: NativeCallContext, secret: &mut SecretRef| secret_as_text(&cx, secret));
    for operator in ["==", "!=", "<", ">", "<=", ">="] {
        refuse::<bool>(engine, operator, "compared");
    }
    for operator in ["+", "+="] {
        refuse::<Dynamic>(engine, operator, "joined to a text");
    }
    engine.register_fn("contains", |cx: NativeCallContext, _: &str, secret: SecretRef| opaque::<bool>(&cx, &secret, "compared"));
}

fn refuse<T: rhai::Variant + Clone>(engine: &mut Engine, operator: &str, deed: &'static str) {
    engine.register_fn(operator, move |cx: NativeCallContext, secret: SecretRef, _: SecretRef| opaque::<T>(&cx, &secret, deed));
    engine.register_fn(operator, move |cx: NativeCallContext, secret: SecretRef, _: ImmutableString| opaque::<T>(&cx, &secret, deed));
    engine.register_fn(operator, move |cx: NativeCallContext, _: ImmutableString, secret: SecretRef| opaque::<T>(&cx, &secret, deed));
}

fn opaque<T>(cx: &NativeCallContext, secret: &SecretRef, deed: &'static str) -> Rhai<T> {
    throw(cx, Opaque { name: secret.name.clone(), deed })
}

#[cfg(test)]
mod tests {
    use crate::script_engine;
    use kthw_engine::{Options, Recipe, Rhai, SecretRef, Source, evaluate};
    use rhai::{Dynamic, Map, NativeCallContext};
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Spec {
        #[serde(default)]
        password: Option<SecretRef>,
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        list: Vec<SecretRef>,
    }

    /// Runs a script in which `take(#{…})` parses options as any module does, and shows what it threw or what was taken.
    fn run(script: &str) -> String {
        let mut engine = script_engine();
        engine.register_fn("take", |cx: NativeCallContext, map: Map| -> Rhai<Dynamic> {
            let spec = Options::<Spec>::parse(&cx, "test::take", map)?.spec;
            let shown = format!("{:?} {:?} {:?}", spec.password.map(|secret| secret.name), spec.text, spec.list);
            Err(shown.into())
        });
        let text = format!("const VERSION = \"1.0.0\";\nfn declare(cluster) {{ {script} }}\n");
        let source = Source { name: "r".into(), path: "r.rhai".into(), text };
        let recipe = Recipe::parse(&engine, source).expect("it parses");
        match evaluate(&engine, &recipe, Dynamic::UNIT) {
            Ok(_) => "nothing".into(),
            // What `take` was given comes back as the script's own error.
            Err(error) if error.to_string().contains("None") || error.to_string().contains("Some(") => error.to_string(),
            Err(error) => {
                let help = miette::Diagnostic::help(&error).map(|help| format!("; {help}")).unwrap_or_default();
                format!("{error}{help}")
            }
        }
    }

    #[test]
    fn a_secret_is_passed_on_by_name() {
        assert_eq!(run(r#"take(#{ password: sops::secret("a.b") })"#), r#"Some("a.b") None []"#);
        let list = run(r#"let s = sops::secret("a"); take(#{ list: [s, s] })"#);
        assert_eq!(list, r#"None None [SecretRef { name: "a" }, SecretRef { name: "a" }]"#);
    }

    #[test]
    fn a_text_that_only_speaks_of_secrets_is_a_text() {
        let taken = run(r#"take(#{ text: "kubectl get <secret name>" })"#);
        assert_eq!(taken, r#"None Some("kubectl get <secret name>") []"#);
    }

    #[test]
    fn any_other_use_is_refused_with_advice() {
        let advice = "a script never sees a secret's value: pass it whole, as an option that takes a secret, and let the file hold the whole text that you need";
        for (script, expected) in [
            (r#"if sops::secret("a") == "x" { }"#, "the secret `a` cannot be compared"),
            (r#"if "x" != sops::secret("a") { }"#, "the secret `a` cannot be compared"),
            (r#"if sops::secret("a") == sops::secret("b") { }"#, "the secret `a` cannot be compared"),
            (r#"let t = "x" + sops::secret("a");"#, "the secret `a` cannot be joined to a text"),
            (r#"let t = sops::secret("a") + "x";"#, "the secret `a` cannot be joined to a text"),
            (r#"let t = "x"; t += sops::secret("a");"#, "the secret `a` cannot be joined to a text"),
        ] {
            assert_eq!(run(script), format!("{expected}; {advice}"), "{script}");
        }
        for script in [
            r#"print(sops::secret("a"));"#,
            r#"debug(sops::secret("a"));"#,
            r#"let t = `token=${sops::secret("a")}`;"#,
            r#"let t = sops::secret("a").to_string();"#,
            r#"let t = `${[sops::secret("a")]}`;"#,
        ] {
            assert_eq!(run(script), format!("the secret `a` cannot become a text; {advice}"), "{script}");
        }
        for script in [r#"take(#{ text: `token=${sops::secret("a")}` })"#, r#"take(#{ text: sops::secret("a").to_string() })"#] {
            assert_eq!(
                run(script),
                "`text` holds the name of the secret `a` as text, not its value; pass the secret whole, as an option that takes one; see `kthw help test::take`"
            );
        }
        assert_eq!(run(r#"take(#{ text: sops::secret("a") })"#), "`text` got the secret `a`, and takes none; see `kthw help test::take`");
        assert_eq!(
            run(r#"sops::secret("a b")"#),
            "`a b` does not name a secret; write the keys on the way to it with dots between them, such as `proxmox.token`"
        );
    }
}
