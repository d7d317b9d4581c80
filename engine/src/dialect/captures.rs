//! Closures that take a loop's variable with them: Rhai shares the one variable between all turns, so that afterwards all of them see its
//! last value.
use crate::diagnostics::RecipeError;
use rhai::{AST, ASTNode, Expr, Position, Stmt};

/// Functions that keep what they are given.
const KEEPING: [&str; 6] = ["append", "insert", "push", "set", "unshift", "+="];

/// Refuses a closure that captures the variable of a loop and is kept beyond the turn.
///
/// # Errors
/// The first such closure, at the variable.
pub(super) fn check(ast: &AST, file: &str, text: &str) -> Result<(), RecipeError> {
    let mut found = None;
    ast.walk(&mut |path| {
        found = found.take().or_else(|| kept(path));
        found.is_none()
    });
    let Some((name, position)) = found else { return Ok(()) };
    let message = format!("the closure keeps `{name}` itself, which the loop goes on to change: each of them sees its last value");
    let help = format!("copy it within the loop and use the copy: `let own = {name};`");
    Err(RecipeError::new("kthw::recipe::captured_loop_variable", message, file, text)
        .at(position, "shared by all turns of the loop")
        .help(help))
}

/// The loop variable that the closure at the end of `path` takes beyond its turn, if it does.
fn kept(path: &[ASTNode]) -> Option<(String, Position)> {
    let (ASTNode::Stmt(Stmt::Share(captured)), above) = path.split_last()? else { return None };
    captured.iter().find_map(|(ident, _)| {
        let at = above.iter().rposition(|node| is_loop_over(node, &ident.name))?;
        let decides = above[at..].iter().rev().find_map(keeps);
        decides.unwrap_or_default().then(|| (ident.name.to_string(), ident.pos))
    })
}

fn is_loop_over(node: &ASTNode, name: &str) -> bool {
    let ASTNode::Stmt(Stmt::For(parts, _)) = node else { return false };
    parts.0.name == name || parts.1.as_ref().is_some_and(|counter| counter.name == name)
}

/// Whether what stands directly below this outlives the turn; `None` where what is above decides.
fn keeps(node: &ASTNode) -> Option<bool> {
    match node {
        ASTNode::Stmt(Stmt::Assignment(_)) | ASTNode::Expr(Expr::Array(..) | Expr::Map(..)) => Some(true),
        // The call by which Rhai itself makes a closure.
        ASTNode::Expr(Expr::FnCall(call, _)) if call.name == "curry" => None,
        ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) => Some(KEEPING.contains(&call.name.as_str())),
        _ => None,
    }
}
