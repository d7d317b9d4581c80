//! Several refusals of one resource, said in one voice.
use kthw_engine::{Change, Field, Refusal};

/// One refusal of all of them: every reason, every way out and every field; `None` when there is none.
pub fn refused(refusals: impl IntoIterator<Item = Refusal>) -> Option<Change> {
    let all: Vec<Refusal> = refusals.into_iter().collect();
    let texts = |text: fn(&Refusal) -> &String| {
        let mut texts: Vec<&str> = Vec::new();
        for one in all.iter().map(text).filter(|one| !one.is_empty()) {
            if !texts.contains(&one.as_str()) {
                texts.push(one);
            }
        }
        texts.join("; ")
    };
    let fields: Vec<Field> = all.iter().flat_map(|refusal| refusal.fields.iter().cloned()).collect();
    let refusal = Refusal { why: texts(|one| &one.why), next: texts(|one| &one.next), fields };
    (!all.is_empty()).then_some(Change::Refused(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kthw_engine::field;

    #[test]
    fn reasons_and_ways_out_are_said_once() {
        let one = |name: &'static str, next: &str| Refusal {
            why: "it is fixed".into(),
            next: next.into(),
            fields: field(name, 1, 2).into_iter().collect(),
        };
        assert_eq!(refused([]), None);
        let Some(Change::Refused(all)) = refused([one("a", "set a back"), one("b", "set b back")]) else { panic!("refused") };
        assert_eq!((all.why.as_str(), all.next.as_str(), all.fields.len()), ("it is fixed", "set a back; set b back", 2));
    }
}
