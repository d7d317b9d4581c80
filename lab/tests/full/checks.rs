//! What the author of a recipe gives to ask with: never asked by a dry run, by a plan for a run only where it is marked, else at its turn.
use crate::{Lab, Recipes, changes, failures, saved_plan::asked};
use kthw_engine::{Evaluated, Graph, Library, Outcome, Plan, Report, RunOptions, Source, evaluate, plan, plan_for_run, run, silent};
use kthw_stdlib::{Dynamic, script_engine, workspace::Cluster};

/// A recipe of somebody's own, beside those that ship.
struct Mine(String);

impl Library for Mine {
    fn find(&self, name: &str) -> Result<Option<Source>, String> {
        if name == "mine" {
            return Ok(Some(Source { name: name.into(), path: "mine.rhai".into(), text: self.0.clone() }));
        }
        Recipes.find(name)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

pub(crate) fn declared(lab: &Lab, script: &str) -> Vec<Evaluated> {
    let text = format!(
        "const VERSION = \"1.0.0\";\nconst NEEDS = [\"phases/machines@1\"];\nfn declare(cluster) {{ let node = cluster.nodes[0]; {script} }}\n"
    );
    let engine = script_engine();
    let graph = Graph::load(&engine, &Mine(text), "mine").unwrap();
    let cluster = Cluster::new(lab.workspace.clone()).unwrap();
    graph.recipes().iter().map(|one| evaluate(&engine, one, Dynamic::from(cluster.clone())).unwrap()).collect()
}

async fn with_machines(name: &str) -> Lab {
    let lab = Lab::new(name);
    assert_eq!(failures(&lab.apply("phases/machines").await), "");
    lab
}

async fn go(lab: &Lab, plan: Plan) -> Report {
    let report = run(plan, &lab.peers, &silent(), &RunOptions::default()).await;
    assert_eq!(failures(&report), "");
    report
}

fn outcome<'r>(report: &'r Report, id: &str) -> &'r Outcome {
    &report.outcomes.iter().find(|(known, _)| known.to_string() == id).unwrap().1
}

fn is_there(lab: &Lab, path: &str) -> bool {
    lab.world.with_state(|state| state.machines["vm/401"].files.exists(path))
}

/// Checks that leave a trace when they are asked, which is what no check should do and any can.
const TRACES: &str = r#"
    ssh::command(node, "silent", #{ run: ["true"], unless: ["mkdir", "/silent-was-asked"] });
    ssh::command(node, "marked", #{ run: ["true"], unless: ["mkdir", "/marked-was-asked"], reads: true });
"#;

#[tokio::test(start_paused = true)]
async fn a_dry_run_asks_no_check_and_a_plan_for_a_run_only_what_is_marked() {
    let lab = with_machines("asks").await;
    let dry = plan(&declared(&lab, TRACES), &lab.peers, &silent()).await.unwrap();
    assert!(!is_there(&lab, "/silent-was-asked") && !is_there(&lab, "/marked-was-asked"), "a dry run asked");
    let todo = |name: &str| format!("create ssh.command/cu1/{name} run: true; if: its own check says so, which is asked at its turn");
    assert_eq!(changes(&dry), [todo("silent"), todo("marked")]);

    let planned = plan_for_run(&declared(&lab, TRACES), &lab.peers, &silent()).await.unwrap();
    assert!(!is_there(&lab, "/silent-was-asked") && is_there(&lab, "/marked-was-asked"), "the plan of a run asks what is marked");
    assert_eq!(changes(&planned), [todo("silent")]);

    let script = r#"ssh::script(node, "mine", #{ check: "test -e /nothing", apply: "true" });"#;
    plan_for_run(&declared(&lab, script), &lab.peers, &silent()).await.unwrap();
    assert!(!lab.world.unknown().iter().any(|what| what.contains("sh -c")), "a script was run");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_was_kept_asks_no_check_before_its_turn() {
    let lab = with_machines("kept-asks").await;
    let script = r#"ssh::command(node, "make", #{ run: ["mkdir", "/made"], unless: ["test", "-d", "/made"], reads: true });"#;
    let made = declared(&lab, script);
    go(&lab, plan(&made, &lab.peers, &silent()).await.unwrap()).await;
    let recipes: Vec<_> = made.iter().map(|one| one.recipe.clone()).collect();
    let dry = plan(&made, &lab.peers, &silent()).await.unwrap();
    let saved = dry.save(asked("mine"), &recipes, lab.workspace_as_json());
    assert_eq!(changes(&dry).len(), 1, "nobody was asked yet");
    // A plan for a run knows more than a dry run could: the two are not compared.
    let for_run = plan_for_run(&made, &lab.peers, &silent()).await.unwrap();
    assert!(saved.check(&for_run).unwrap_err().to_string().contains("ssh.command/cu1/make: was to be created, is there now and as wanted"));
    saved.check(&dry).unwrap();
    assert!(matches!(outcome(&go(&lab, dry).await, "ssh.command/cu1/make"), Outcome::Unchanged));
}

#[tokio::test(start_paused = true)]
async fn a_check_is_asked_when_all_before_it_is_done() {
    let lab = with_machines("turn").await;
    let script = r#"
        ssh::command(node, "first", #{ run: ["mkdir", "/first"], unless: ["test", "-d", "/first"] });
        ssh::command(node, "second", #{ run: ["mkdir", "/second"], unless: ["test", "-d", "/first"] });
    "#;
    let report = go(&lab, plan_for_run(&declared(&lab, script), &lab.peers, &silent()).await.unwrap()).await;
    assert!(matches!(outcome(&report, "ssh.command/cu1/first"), Outcome::Changed { .. }));
    assert!(matches!(outcome(&report, "ssh.command/cu1/second"), Outcome::Unchanged), "it was asked before the first was done");
    assert!(is_there(&lab, "/first") && !is_there(&lab, "/second"));
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_not_done_again_and_what_needs_it_is_judged_as_it_is() {
    let lab = with_machines("again").await;
    let script = |reads: bool| {
        format!(
            r#"let made = ssh::command(node, "make", #{{ run: ["mkdir", "/made"], unless: ["test", "-d", "/made"], reads: {reads} }});
               ssh::file(node, "/etc/motd", #{{ content: "hello\n", needs: [made] }});"#
        )
    };
    let planned = async |reads: bool| plan_for_run(&declared(&lab, &script(reads)), &lab.peers, &silent()).await.unwrap();
    let first = planned(true).await;
    assert_eq!(changes(&first).len(), 2, "{first}");
    go(&lab, first).await;
    assert_eq!(changes(&planned(true).await), Vec::<String>::new(), "nothing to change");

    let unmarked = planned(false).await;
    assert_eq!(changes(&unmarked).len(), 1, "the file is there as it should be: {unmarked}");
    let report = go(&lab, unmarked).await;
    assert_eq!(report.changed(), 0);
    assert!(matches!(outcome(&report, "ssh.command/cu1/make"), Outcome::Unchanged));
}
