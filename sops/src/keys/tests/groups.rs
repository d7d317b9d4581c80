//! Several key groups, and recipients that stay.
use super::*;

#[test]
fn groups_that_cannot_be_are_refused() {
    let (_, one) = age_key();
    let refused = |groups: &mut [Group], threshold| seal(groups, threshold, &new_data_key());
    check(
        refused(&mut [], None),
        &[],
        expect![[r#"
        cannot encrypt s.yaml: it has no recipient
        list one in `.sops.yaml`, such as `age: age1…`
    "#]],
    );
    check(
        refused(&mut [group(&[&one]), group(&[])], None),
        &[],
        expect![[r#"
        cannot encrypt s.yaml: key group 2 has no recipient
        list one in `.sops.yaml`, such as `age: age1…`
    "#]],
    );
    for threshold in [0, 1, 3] {
        let error = refused(&mut [group(&[&one]), group(&[&one])], Some(threshold)).expect_err("it is refused");
        assert_eq!(error.to_string(), format!("cannot encrypt s.yaml: a threshold of {threshold} does not fit 2 key groups"));
    }
}

#[test]
fn as_many_groups_as_the_threshold_says_open_a_file() {
    let keys: Vec<(String, Recipient)> = (0..4).map(|_| age_key()).collect();
    let key = new_data_key();
    for (threshold, needed) in [(Some(2), 2), (Some(3), 3), (Some(4), 4), (None, 4)] {
        let mut groups: Vec<Group> = keys.iter().map(|(_, recipient)| group(&[recipient])).collect();
        seal(&mut groups, threshold, &key).expect("the groups are well-formed");
        for have in 0..=4 {
            let private: Vec<&str> = keys.iter().rev().take(have).map(|(private, _)| private.as_str()).collect();
            let opened = services(&[("SOPS_AGE_KEY", &private.join("\n"))]).data_key("s.yaml", &metadata(groups.clone(), threshold));
            assert_eq!(opened.ok().as_ref() == Some(&key), have >= needed, "{have} of {threshold:?}");
        }
    }
}

#[test]
fn too_few_groups_are_named_with_their_recipients_and_reasons() {
    let [(first_private, first), (_, second), (_, third)] = [age_key(), age_key(), age_key()];
    let mut groups = vec![group(&[&first]), group(&[&second, &third]), group(&[&third])];
    seal(&mut groups, Some(2), &new_data_key()).expect("they are well-formed");
    groups[2] = vec![MasterKey::to(huawei())];
    let names: Vec<(String, &str)> =
        [(&first, "FIRST"), (&second, "SECOND"), (&third, "THIRD")].map(|(recipient, name)| (recipient.to_string(), name)).into();
    let names: Vec<(&str, &str)> = names.iter().map(|(text, name)| (text.as_str(), *name)).collect();
    let services = services(&[("SOPS_AGE_KEY", &first_private)]);
    check(
        services.data_key("s.yaml", &metadata(groups, Some(2))),
        &names,
        expect![[r#"
            too few key groups of s.yaml open: 1 of the 2 that are needed
            group 1 (FIRST) opens. group 2 does not: SECOND, THIRD: looked at SOPS_AGE_KEY. group 3 does not: Huawei Cloud KMS tr-west-1:abc: kthw does not use this kind of key. To go on, put the private age key into SOPS_AGE_KEY, or name its file in SOPS_AGE_KEY_FILE; or ask a holder to run `kthw secrets updatekeys s.yaml`
        "#]],
    );
}

#[test]
fn parts_that_do_not_belong_together_are_no_key() {
    let (private, recipient) = age_key();
    let mut groups = vec![group(&[&recipient]), group(&[&recipient])];
    seal(&mut groups, None, &new_data_key()).expect("they are well-formed");
    let twice = vec![groups[0].clone(), groups[0].clone()];
    let services = services(&[("SOPS_AGE_KEY", &private)]);
    check(
        services.data_key("s.yaml", &metadata(twice, None)),
        &[],
        expect![[r#"
            s.yaml is not a SOPS file: the parts in its key groups do not belong together
            restore it from version control (`git log -p s.yaml` shows what became of it), or mend that place in an editor
        "#]],
    );
    // A part is no whole key, and a key is no part.
    let error = services.data_key("s.yaml", &metadata(vec![groups[0].clone()], None)).expect_err("it is refused");
    assert!(error.help().is_some_and(|help| help.to_string().contains("it holds 33 bytes in place of 32")), "{error:?}");
}

#[test]
fn recipients_that_stay_keep_their_sealed_key() {
    let [(_, stays), (_, leaves), (private, comes)] = [age_key(), age_key(), age_key()];
    let key = new_data_key();
    let mut before = vec![group(&[&stays, &leaves])];
    seal(&mut before, None, &key).expect("they are well-formed");
    // kthw cannot seal to this one, and need not.
    before[0].push(MasterKey { encrypted: "kept".into(), created_at: Some("2020-01-01T00:00:00Z".into()), ..MasterKey::to(huawei()) });
    let mut after = vec![group(&[&comes, &huawei(), &stays])];
    services(&[]).seal_missing("s.yaml", &mut after, None, &key, &before).expect("only one has to be sealed");
    assert_eq!((&after[0][1], &after[0][2]), (&before[0][2], &before[0][0]));
    let opened = services(&[("SOPS_AGE_KEY", &private)]).data_key("s.yaml", &metadata(after, None));
    assert_eq!(opened.expect("the new key opens it"), key);
    // Several groups get new parts.
    let mut groups = vec![group(&[&stays]), group(&[&comes])];
    services(&[]).seal_missing("s.yaml", &mut groups, None, &key, &before).expect("all can be sealed");
    assert_ne!(groups[0][0].encrypted, before[0][0].encrypted);
}
