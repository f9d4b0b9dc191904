//! `scitq.workflow.Workflow`: see `workflow.py`.

use super::Old;
use crate::harness::AgentOptions;
use crate::world::until;

#[test]
fn a_workflow_of_three_steps_survives_a_restart_of_the_server_in_its_middle() {
    let Some(mut old) = Old::start() else { return };
    let agent = AgentOptions { concurrency: 4, ..AgentOptions::default() };
    for batch in ["first", "second", "last"] {
        let batch = format!("flow.{batch}");
        let (name, batch) = (batch.replace('.', "-"), Some(batch));
        old.server.agent(AgentOptions { name, batch, ..agent.clone() });
    }
    let folder = old.server.path().join("flow");
    std::fs::create_dir(&folder).unwrap();
    // It draws on a terminal.
    let python = old.script("workflow.py", &[folder.to_str().unwrap()]);
    let words: Vec<_> = std::iter::once(python.get_program()).chain(python.get_args()).collect();
    let line: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
    let mut script = old.program("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).env("TERM", "xterm");
    let mut process = old.server.world().spawn("workflow", script);
    until("the second step to run", || folder.join("second-runs").exists().then_some(()));
    old.server.kill9();
    old.server.restart();
    // Nothing goes on before this.
    std::fs::write(folder.join("go"), "").unwrap();
    let status = until("the workflow to end", || process.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let gathered = std::fs::read_to_string(folder.join("last/all.txt")).unwrap();
    assert_eq!(gathered, "a A\nb A\nc A\n");
    // It has cleaned up after itself, and kept the logs.
    assert_eq!(old.manage(&["task", "list", "-H"]).ok().text(), "");
    assert!(folder.join("logs").exists());
}
