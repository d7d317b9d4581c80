//! Numbers in a recipe: Rhai reads `0100` as a hundred, and makes a float or a negative number of what is too large. Both are refused.
use rhai::{LexError, Position, Token};
use std::cell::RefCell;

thread_local! {
    /// The lines of the text that is being compiled on this thread: Rhai tells a token's value and place, and not how it is written.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Compiles while the text is known to [`checked`].
pub(super) fn within<T>(text: &str, compile: impl FnOnce() -> T) -> T {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            LINES.take();
        }
    }
    LINES.set(text.split('\n').map(str::to_owned).collect());
    let _clear = Clear;
    compile()
}

/// The token, or an error in its place.
pub(super) fn checked(token: Token, position: Position) -> Token {
    let wrong = match token {
        Token::IntegerConstant(_) | Token::FloatConstant(_) => written(position).and_then(|literal| wrong(&literal)),
        Token::LeftShift | Token::RightShift | Token::LeftShiftAssign | Token::RightShiftAssign => shift(position),
        _ => return token,
    };
    wrong.map_or(token, |text| Token::LexError(LexError::Runtime(text).into()))
}

/// The number as it is written at this place, without its sign.
fn written(position: Position) -> Option<String> {
    LINES.with_borrow(|lines| {
        let line = lines.get(position.line()?.checked_sub(1)?)?;
        let rest = line.chars().skip(position.position()?.saturating_sub(1)).skip_while(|c| matches!(c, '-' | '+' | ' '));
        let literal: String = rest.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect();
        // A range begins with a number and goes on with dots.
        let literal = literal.split_once("..").map_or(literal.as_str(), |(number, _)| number).to_owned();
        literal.starts_with(|c: char| c.is_ascii_digit()).then_some(literal)
    })
}

/// What is wrong with a shift: by a number that leaves nothing, or by one that is not written out and might.
fn shift(position: Position) -> Option<String> {
    LINES.with_borrow(|lines| {
        let line = lines.get(position.line()?.checked_sub(1)?)?;
        let rest: String = line.chars().skip(position.position()?.saturating_sub(1)).collect();
        let by = rest.trim_start_matches(['<', '>', '=', ' ']);
        let end = by.char_indices().skip(1).find(|(_, c)| !c.is_ascii_digit()).map_or(by.len(), |(at, _)| at);
        let Ok(by) = by[..end].parse::<i64>() else {
            return Some(
                "a shift by what is not written out may leave nothing of a whole number: multiply or divide by `2 ** n`, which says so"
                    .into(),
            );
        };
        (!(0..63).contains(&by)).then(|| format!("a shift by {by} leaves nothing of a whole number, or makes it negative: it has 64 bits"))
    })
}

fn wrong(literal: &str) -> Option<String> {
    let digits: String = literal.chars().filter(|c| *c != '_').collect();
    let lower = digits.to_ascii_lowercase();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find_map(|(start, radix)| Some((lower.strip_prefix(start)?, radix)));
    let whole = match radix {
        Some((rest, radix)) => i64::from_str_radix(rest, radix).is_ok(),
        None if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        None if digits.len() > 1 && digits.starts_with('0') => {
            let plain = digits.trim_start_matches('0');
            let plain = if plain.is_empty() { "0" } else { plain };
            return Some(format!(
                "`{literal}` begins with a zero, which other languages take for octal: write `{plain}`, `0o{plain}`, or a text in quotes"
            ));
        }
        None => digits.parse::<i64>().is_ok(),
    };
    (!whole).then(|| format!("`{literal}` is larger than a whole number can be here ({}): write it as a text", i64::MAX))
}
