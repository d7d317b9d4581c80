//! Names that a recipe reads with `?.`: `n.values?.rack`. Rhai looks only at what stands before it; here the name itself may be missing too.
use rhai::{AST, ASTFlags, ASTNode, Expr};
use std::collections::BTreeSet;

/// The names behind every `?.` of a recipe.
pub(super) fn names(ast: &AST) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::Dot(sides, flags, _))) = path.last()
            && flags.intersects(ASTFlags::NEGATED)
        {
            found.extend(first(&sides.rhs));
        }
        true
    });
    found
}

/// The property with which the right side of a dot begins.
fn first(side: &Expr) -> Option<String> {
    match side {
        Expr::Property(names, _) => Some(names.2.to_string()),
        Expr::Dot(sides, ..) | Expr::Index(sides, ..) => first(&sides.lhs),
        _ => None,
    }
}
