//! JSON texts before and after.
use super::*;

const BLOCK_VALUE: &str = r#"{"mac":"m","age":[{"enc":"a\nb"}]}"#;

fn leaf_lines(text: &str) -> Vec<String> {
    let read = Json.read("a.json", text).expect("it is JSON");
    let shown = |what: &What| match what {
        What::Value(Plain::Text(text)) => format!("Text({:?})", text.as_str()),
        What::Value(value) => format!("{value:?}"),
        What::Comment(_) | What::Stray(_) => "comment".into(),
    };
    read.leaves.iter().map(|leaf| format!("{} {} {}", dotted(&leaf.path), shown(&leaf.what), &text[leaf.span.clone()])).collect()
}

#[test]
fn values_have_their_places_and_types() {
    let text = r#"{"a": 1, "b": [1.50, null, true, "x\n\"", {}, []], "c": {"d": -0, "e": 1000000000000000000000}}"#;
    assert_eq!(
        leaf_lines(text),
        [
            "a Int(1) 1",
            "b.0 Float(1.5) 1.50",
            "b.1 Null null",
            "b.2 Bool(true) true",
            r#"b.3 Text("x\n\"") "x\n\"""#,
            "c.d Float(-0.0) -0",
            "c.e Float(1e21) 1000000000000000000000",
        ]
    );
}

#[test]
fn what_sops_could_not_hold_is_refused_with_its_line() {
    for (text, expected) in [
        ("[1]", "its root is no object, and sops encrypts nothing else in JSON"),
        ("{\"a\": 1,\n\"a\": 2}", "the key `a` stands twice in one object (line 2)"),
        ("{\"a\": 9007199254740993}", "a whole number has more digits than sops keeps in JSON; write it as text in quotes (line 1)"),
        ("{\"a\": 1e999}", "a number is beyond what sops can hold (line 1)"),
        ("{\"SOPS\": 1}", "sops cannot read a JSON file with the key `SOPS`; rename it (line 1)"),
        ("{\"a\": 1} x", "something stands behind the end of its root (line 1)"),
        ("{\"a\": 01}", "a value is missing (line 1)"),
        ("{\"a\": \"\\ud800\"}", "a text has a character or escape that JSON does not allow (line 1)"),
        ("{\"a\": 1,}", "a key in double quotes is missing (line 1)"),
        ("{\n\"a\": [1 2]}", "a comma or `]` is missing (line 2)"),
        ("{\"a\": \"", "a double quote is missing (line 1)"),
        ("{", "a key in double quotes is missing (line 1)"),
        ("", "a value is missing (line 1)"),
    ] {
        let error = Json.read("a.json", text).expect_err("it is refused").to_string();
        assert_eq!(error, format!("a.json is not a SOPS file: {expected}"), "{text}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(Json.read("a.json", &deep).is_err());
}

#[test]
fn the_block_comes_last_and_goes_without_a_trace() {
    let block = serde_json::from_str(BLOCK_VALUE).unwrap();
    for (text, expected) in [
        (
            "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n",
            "{\n  \"a\": {\n    \"b\": 1\n  },\n  \"sops\": {\n    \"mac\": \"m\",\n    \"age\": [\n      {\n        \"enc\": \"a\\nb\"\n      }\n    ]\n  }\n}\n",
        ),
        ("{\"a\": 1}", r#"{"a": 1, "sops": {"mac":"m","age":[{"enc":"a\nb"}]}}"#),
        ("{}\n", "{\n\t\"sops\": {\n\t\t\"mac\": \"m\",\n\t\t\"age\": [\n\t\t\t{\n\t\t\t\t\"enc\": \"a\\nb\"\n\t\t\t}\n\t\t]\n\t}\n}\n"),
    ] {
        let with = Json.with_block(text, &block, false).unwrap();
        assert_eq!(with, expected);
        let read = Json.read("a.json", &with).unwrap();
        assert_eq!(read.block.as_ref(), Some(&block));
        let cut = read.block_spans.into_iter().map(|span| (span, Zeroizing::default())).collect();
        assert_eq!(*edited(&with, cut), text);
    }
    let first = r#"{"sops": {"mac": "m"}, "a": 1}"#;
    let spans = Json.read("a.json", first).unwrap().block_spans;
    assert_eq!(*edited(first, vec![(spans[0].clone(), Zeroizing::default())]), r#"{"a": 1}"#);
    assert_eq!(Json.read("a.json", r#"{"sops": {}}"#).unwrap().block, Some(json!({})));
}

#[test]
fn comments_of_a_list_go_with_their_commas() {
    let comment = |n: usize| format!("\"ENC[AES256_GCM,data:{n},iv:,tag:,type:comment]\"");
    for (items, expected) in [
        (["c", "1", "2"], "{\"a\": [1,\n2]}"),
        (["c", "c", "1"], "{\"a\": [1]}"),
        (["1", "c", "c"], "{\"a\": [1]}"),
        (["1", "c", "2"], "{\"a\": [1,\n2]}"),
        (["c", "1", "c"], "{\"a\": [1]}"),
        (["c", "c", "c"], "{\"a\": []}"),
    ] {
        let items: Vec<_> = items.iter().enumerate().map(|(n, item)| if *item == "c" { comment(n) } else { item.to_string() }).collect();
        let text = format!("{{\"a\": [{}]}}", items.join(",\n"));
        let read = Json.read("a.json", &text).unwrap();
        let comments = read.leaves.iter().filter(|leaf| text[leaf.span.clone()].contains("type:comment"));
        let edits = comments.map(|leaf| Json.comment_item(&text, leaf, "", false)).collect();
        assert_eq!(*edited(&text, edits), expected, "{text}");
    }
}

#[test]
fn a_value_is_set_in_the_style_of_the_text() {
    let text = "{\n  \"a\": {\n    \"b\": 1\n  },\n  \"l\": [1, 2],\n  \"e\": {}\n}\n";
    let key = |key: &str| Step::Key(key.into());
    for (path, value, expected) in [
        (vec![key("a"), key("b")], json!("x"), text.replace("\"b\": 1", "\"b\": \"x\"")),
        (vec![key("a"), key("c")], json!(2), text.replace("\"b\": 1", "\"b\": 1,\n    \"c\": 2")),
        (vec![key("l"), Step::Index(2)], json!({"x": 1}), text.replace("1, 2]", "1, 2, {\"x\":1}]")),
        (vec![key("e"), key("f"), key("g")], json!(true), text.replace("{}", "{\"f\": {\"g\":true}}")),
        (vec![key("n"), Step::Index(0)], json!(null), text.replace("{}", "{},\n  \"n\": [\n    null\n  ]")),
    ] {
        assert_eq!(*Json.set("a.json", text, &path, &value).unwrap(), expected);
    }
    for (path, expected) in [
        (vec![key("a")], "cannot set `a` in a.json: it is a group; name one of its values, or use `kthw secrets edit`"),
        (vec![key("l"), Step::Index(5)], "cannot set `l.5` in a.json: the list is shorter than that"),
        (vec![key("a"), key("b"), key("c")], "cannot set `a.b.c` in a.json: there is nothing that it could stand in"),
        (vec![key("sops"), key("mac")], "cannot set `sops.mac` in a.json: that is the name of the block that sops adds"),
    ] {
        assert_eq!(Json.set("a.json", text, &path, &json!(1)).unwrap_err().to_string(), expected);
    }
}
