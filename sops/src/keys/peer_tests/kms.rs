//! AWS KMS, played by moto.
use super::{
    moto::{Moto, REGION, field, recipient},
    *,
};
use miette::Diagnostic;

#[test]
fn a_key_of_kms_with_a_context() {
    let Some([sops, moto]) = ask([&SOPS, &MOTO]) else { return };
    let moto = Moto::start(&moto);
    let home = moto.home();
    let arn = moto.key(&home);
    both_ways(&home, &sops, &["encrypt", "--kms", &arn], &[recipient(&arn)]);
    let context = BTreeMap::from([("app".to_owned(), "kthw".to_owned()), ("stage".to_owned(), "test".to_owned())]);
    let in_context = Recipient::AwsKms { arn: arn.clone(), role: None, context, profile: None };
    let arguments = ["encrypt", "--kms", &arn, "--encryption-context", "app:kthw,stage:test"];
    both_ways(&home, &sops, &arguments, std::slice::from_ref(&in_context));

    // The context is part of what was sealed.
    let mut groups = vec![vec![MasterKey::to(in_context)]];
    home.services().seal_to("ours.yaml", &mut groups, None, &new_data_key()).expect("KMS answers");
    assert!(groups[0][0].created_at.as_deref().is_some_and(|date| date.parse::<jiff::Timestamp>().is_ok()));
    groups[0][0].recipient = recipient(&arn);
    let error = home.services().data_key("ours.yaml", &metadata(groups, None)).expect_err("the context is missing");
    let help = error.help().expect("it has help").to_string();
    assert!(help.contains(&format!("AWS KMS {arn}: {}/ answers InvalidCiphertextException", moto.endpoint())), "{help}");

    // A key that is not there.
    let missing = recipient(&arn.replace("key/", "key/0"));
    let error = home.services().seal_to("ours.yaml", &mut [vec![MasterKey::to(missing)]], None, &new_data_key());
    assert!(error.expect_err("no such key").to_string().contains("answers NotFoundException"), "the reason is told");
}

#[test]
fn credentials_come_from_files_and_profiles_too() {
    let Some([sops, moto]) = ask([&SOPS, &MOTO]) else { return };
    let moto = Moto::start(&moto);
    let home = moto.home();
    let arn = moto.key(&home);
    let credentials = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n";
    let usual = home.write("aws/usual", format!("[default]\n{credentials}"));
    let named = home.write("aws/named", format!("[team]\n{credentials}"));
    let config = home.write("aws/config", format!("[profile team]\nregion = us-east-1\n{credentials}"));
    let bare = home.without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    let team = Recipient::AwsKms { arn: arn.clone(), role: None, context: BTreeMap::new(), profile: Some("team".into()) };
    for (more, recipient) in [
        (vec![("AWS_SHARED_CREDENTIALS_FILE", usual)], recipient(&arn)),
        (vec![("AWS_SHARED_CREDENTIALS_FILE", named.clone()), ("AWS_PROFILE", "team".into())], recipient(&arn)),
        (vec![("AWS_CONFIG_FILE", config), ("AWS_PROFILE", "team".into())], recipient(&arn)),
        (vec![("AWS_SHARED_CREDENTIALS_FILE", named)], team.clone()),
    ] {
        let more = more.iter().map(|(name, path)| ((*name).to_owned(), path.clone().into_os_string()));
        let variables: Vec<(String, OsString)> = bare.iter().cloned().chain(more).collect();
        let ours = encrypted_to(&services(variables.clone()), &[vec![recipient]], None);
        assert!(home.sops_decrypts(&sops, &ours, &variables).is_some_and(|plain| plain.contains("secret ü")), "{variables:?}");
        assert_eq!(opened(&services(variables), &ours).expect("the credentials are found"), "secret ü");
    }
    let file = home.path().join(".aws/credentials");
    for (recipient, expected) in [
        (recipient(&arn), "looked at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile `default`"),
        (team, "looked at the profile `team`"),
    ] {
        let expected = format!("{expected} in {}", file.display());
        let mut groups = [vec![MasterKey::to(recipient)]];
        let error = services(bare.clone()).seal_to("ours.yaml", &mut groups, None, &new_data_key()).expect_err("nothing is set");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

/// What a policy of IAM allows to everybody who has it.
fn allowing(actions: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{actions}","Resource":"*"}}]}}"#)
}

#[test]
fn signatures_are_right_and_roles_are_assumed() {
    let Some([sops, moto]) = ask([&SOPS, &MOTO]) else { return };
    let moto = Moto::start(&moto);
    let home = moto.home();
    let arn = moto.key(&home);
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
    let role = moto.iam(&home, "CreateRole", &[("RoleName", "opener"), ("AssumeRolePolicyDocument", trust)]);
    let role = field(&role, "Arn").to_owned();
    let kms = allowing("kms:*");
    moto.iam(&home, "PutRolePolicy", &[("RoleName", "opener"), ("PolicyName", "p"), ("PolicyDocument", &kms)]);
    let user = |name: &str, actions: &str| {
        moto.iam(&home, "CreateUser", &[("UserName", name)]);
        let policy = allowing(actions);
        moto.iam(&home, "PutUserPolicy", &[("UserName", name), ("PolicyName", "p"), ("PolicyDocument", &policy)]);
        let key = moto.iam(&home, "CreateAccessKey", &[("UserName", name)]);
        let (id, secret) = (field(&key, "AccessKeyId").to_owned(), field(&key, "SecretAccessKey").to_owned());
        moto.home().with("AWS_ACCESS_KEY_ID", id).with("AWS_SECRET_ACCESS_KEY", secret)
    };
    let (direct, assumes) = (user("direct", "kms:*"), user("assumes", "sts:*"));
    moto.be_strict();

    both_ways(&direct, &sops, &["encrypt", "--kms", &arn], &[recipient(&arn)]);
    let as_role = Recipient::AwsKms { arn: arn.clone(), role: Some(role.clone()), context: BTreeMap::new(), profile: None };
    both_ways(&assumes, &sops, &["encrypt", "--kms", &format!("{arn}+{role}")], std::slice::from_ref(&as_role));

    // A profile that takes the role. sops is not asked: for that it goes to AWS itself, whatever the endpoint is.
    let secret = |name: &str| assumes.variables.iter().find(|known| known.0 == name).and_then(|known| known.1.to_str()).expect("it is set");
    let (id, secret) = (secret("AWS_ACCESS_KEY_ID"), secret("AWS_SECRET_ACCESS_KEY"));
    let config = format!(
        "[profile opener]\nrole_arn = {role}\nsource_profile = me\n[profile me]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    );
    let config = assumes.write("aws/config", config);
    let by_profile = Recipient::AwsKms { arn: arn.clone(), role: None, context: BTreeMap::new(), profile: Some("opener".into()) };
    let more = [("AWS_CONFIG_FILE".to_owned(), config.into_os_string())];
    let variables = [assumes.without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]), more.to_vec()].concat();
    let ours = encrypted_to(&services(variables.clone()), &[vec![by_profile]], None);
    assert_eq!(opened(&services(variables), &ours).expect("the role may"), "secret ü");

    // Who may not, and who is not who he says.
    let seal = |home: &Home, recipient: &Recipient| {
        let mut groups = [vec![MasterKey::to(recipient.clone())]];
        home.services().seal_to("ours.yaml", &mut groups, None, &new_data_key()).expect_err("it is refused").to_string()
    };
    let error = seal(&assumes, &recipient(&arn));
    assert!(error.contains("answers AccessDenied"), "{error}");
    let error = seal(&direct, &as_role);
    assert!(error.contains(&format!("cannot assume the role {role}: ")) && error.contains("answers AccessDenied"), "{error}");
    let liar = direct.with("AWS_SECRET_ACCESS_KEY", "another");
    let error = seal(&liar, &recipient(&arn));
    assert!(error.contains("signature") && !error.contains("another"), "{error}");
}

#[test]
fn nobody_at_the_endpoint_is_told_with_its_address() {
    // Nothing listens on port 1 of this address of the loopback network.
    let home = Home::new().with("AWS_ENDPOINT_URL", "http://127.0.0.1:9").with("AWS_ENDPOINT_URL_KMS", "http://127.0.0.5:1");
    let home = home.with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").with("AWS_SECRET_ACCESS_KEY", "canary");
    let mut groups = [vec![MasterKey::to(recipient(&format!("arn:aws:kms:{REGION}:123456789012:key/1")))]];
    let error = home.services().seal_to("ours.yaml", &mut groups, None, &new_data_key()).expect_err("nobody answers");
    assert!(error.to_string().contains("http://127.0.0.5:1/ does not answer: "), "{error}");
    assert!(!format!("{error:?}").contains("canary"));
}
