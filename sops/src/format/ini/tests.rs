//! INI texts before and after.
use super::*;
use serde_json::json;

fn leaf_lines(text: &str) -> Vec<String> {
    let read = Ini.read("a.ini", text).expect("it is INI");
    let shown = |what: &What| match what {
        What::Value(Plain::Text(text)) => format!("{:?}", text.as_str()),
        What::Value(other) => format!("{other:?}"),
        What::Comment(text) | What::Stray(text) => format!("# {:?}", text.as_str()),
    };
    read.leaves.iter().map(|leaf| format!("{} {} <{}>", dotted(&leaf.path), shown(&leaf.what), &text[leaf.span.clone()])).collect()
}

/// The shapes and the order are those of the real sops 3.11.0.
#[test]
fn values_and_comments_are_read_as_sops_does() {
    let text = "top = 1\n# two\n\n  ; more\nsecond : 2\n;; web\n[web]\nport=80 ; beside\n`quo=ted` = 'x'\nempty =\nmulti = \"\"\"a\nb\"\"\"\n\
                path = `a#b`\r\ndq = \"  sp \"\n# one\n[Peer]\nk = 1\n[Peer]\nk = 2\n";
    assert_eq!(
        leaf_lines(text),
        [
            "DEFAULT.top \"1\" <1>",
            "DEFAULT.second \"2\" <2>",
            "DEFAULT # \"two\\n; more\" <two\n\n  ; more>",
            "web # \"web\" <web>",
            "web.port \"80\" <80>",
            "web # \"beside\" <beside>",
            "web.quo=ted \"x\" <'x'>",
            "web.empty \"\" <>",
            "web.multi \"a\\nb\" <\"\"\"a\nb\"\"\">",
            "web.path \"a#b\" <`a#b`>",
            "web.dq \"  sp \" <\"  sp \">",
            "Peer # \"one\" <one>",
            "Peer.k \"1\" <1>",
            "Peer.1.k \"2\" <2>",
        ]
    );
}

#[test]
fn what_sops_would_lose_is_refused_with_its_line() {
    for (text, expected) in [
        ("a = 1\n; end\n", "a comment has no key or section below it; move it (line 2)"),
        (";;;;\n; t\n[a]\n", "the first line of a comment is empty, which sops cannot write again; delete that line (line 1)"),
        ("a = x#y\n", "sops takes what follows `#` or `;` for a comment; write the value in backquotes (line 1)"),
        ("a = \"x ; y\"\n", "sops does not see quotes around `#` or `;`; write the value in backquotes (line 1)"),
        ("; up\na = x ; y\n", "comments stand both above and beside it, and sops keeps one; join them (line 2)"),
        ("a = `x` y\n", "something stands behind a closing quote, which sops would drop (line 1)"),
        ("a = `x\n", "a quote is not closed (line 1)"),
        (
            "a = x\\\ny\n",
            "a line that ends with a backslash goes on in the next, which kthw does not read; write it in backquotes (line 1)",
        ),
        ("a = 1\na = 2\n", "the name `a` stands twice in one section (line 2)"),
        ("- = 1\n", "sops gives a key `-` another name; rename it (line 1)"),
        ("= 1\n", "a line has no name in front of its `=` (line 1)"),
        ("word\n", "a line has neither `=` nor `:` (line 1)"),
        ("\"a\" b = 1\n", "something else than `=` or `:` stands behind a quoted name (line 1)"),
        ("[a\n", "the name of a section has no `]` (line 1)"),
        ("[a] ; b\n", "a comment stands beside the name of a section, where sops cannot read it encrypted; move it above (line 1)"),
        ("[a] b\n", "something stands behind the name of a section (line 1)"),
        ("[]\n", "the name of a section is empty or has a `]` in it or in the comment beside it (line 1)"),
        ("; x\n[sops]\nmac = 1\n", "a comment stands in front of the section `sops`, where sops would drop it; move it (line 2)"),
        ("[sops]\n[sops]\n", "the section `sops` stands there twice (line 2)"),
    ] {
        let error = Ini.read("a.ini", text).expect_err("it is refused").to_string();
        assert_eq!(error, format!("a.ini is not a SOPS file: {expected}"), "{text}");
    }
}

#[test]
fn every_value_is_written_so_that_it_is_read_back() {
    for (value, expected) in [
        ("x", Ok("x")),
        ("a b", Ok("a b")),
        ("a#b", Ok("`a#b`")),
        (" a ", Ok("` a `")),
        ("\"a\"", Ok("`\"a\"`")),
        ("a\nb", Ok("`a\nb`")),
        ("a`\n", Ok("\"\"\"a`\n\"\"\"")),
        ("C:\\", Ok("`C:\\`")),
        ("`", Ok("\"\"\"`\"\"\"")),
        ("it's", Ok("it's")),
        ("a\n`\"\"\"\nb", Err(CANNOT_SPELL)),
    ] {
        assert_eq!(spelled(value, None).as_deref().map(String::as_str).map_err(|reason| *reason), expected, "{value:?}");
    }
    assert_eq!(spelled("x", Some('"')).as_deref().map(String::as_str), Ok("\"x\""));
    assert_eq!(spelled("x\"y", Some('"')).as_deref().map(String::as_str), Ok("x\"y"));
}

#[test]
fn the_block_comes_last_and_goes_without_a_trace() {
    let block = json!({ "mac": "m", "age": [{ "enc": "a\nb" }], "encrypted_regex": "^(a;|`)\\\\" });
    for text in ["a = 1\n", "[a]\nb = 1\n", "", "[a]\n\n"] {
        let with = Ini.with_block(text, &block, false).unwrap();
        assert!(with.contains("[sops]\nage__list_0__map_enc = a\\nb\nencrypted_regex = \"\"\"^(a;|`)\\\\\"\"\"\nmac = m\n"), "{with}");
        let read = Ini.read("a.ini", &with).unwrap();
        assert_eq!(read.block.as_ref(), Some(&block));
        assert_eq!(*edited(&with, vec![(read.block_spans[0].clone(), Zeroizing::default())]), text);
    }
}

#[test]
fn a_value_is_set_in_its_section() {
    let text = "top = 1\n\n[a]\nb = \"x\" ; note\n\n[c]\n";
    let path = |steps: &[&str]| steps.iter().map(|step| Step::Key((*step).into())).collect::<Vec<_>>();
    for (steps, value, expected) in [
        (["a", "b"], json!("y z"), text.replace("\"x\"", "\"y z\"")),
        (["a", "new"], json!(1), text.replace("; note\n", "; note\nnew = 1\n")),
        (["c", "d=e"], json!("#"), format!("{text}`d=e` = `#`\n")),
        (["DEFAULT", "n"], json!("v"), text.replace("top = 1\n", "top = 1\nn = v\n")),
        (["z", "n"], json!("v"), format!("{text}\n[z]\nn = v\n")),
    ] {
        assert_eq!(*Ini.set("a.ini", text, &path(&steps), &value).unwrap(), expected);
    }
    for (steps, value, expected) in [
        (["sops", "mac"], json!(1), "cannot set `sops.mac` in a.ini: that is the name of the block that sops adds"),
        (["a]", "b"], json!(1), "cannot set `a].b` in a.ini: no line of an INI file can have that name"),
        (["a", "x\ny"], json!(1), "cannot set `a.x\ny` in a.ini: no line of an INI file can have that name"),
        (["a", "b"], json!([1]), "cannot set `a.b` in a.ini: this format holds text only"),
    ] {
        assert_eq!(Ini.set("a.ini", text, &path(&steps), &value).unwrap_err().to_string(), expected);
    }
}
