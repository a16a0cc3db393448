//! Text into tokens.

use super::parser::SyntaxError;

/// A token of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a word of the language.
    Word(String),
    Text(Vec<u8>),
    Number(f64),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longer ones first, where one begins with another.
const SIGNS: [&str; 25] = [
    "..", "==", "~=", "<=", ">=", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(", ")", "{",
    "}", "[", "]", ";", ":", ",", ".",
];

/// More tokens make no expression that somebody wrote; a bound on how deep its tree can be.
const LONGEST: usize = 1000;

/// Takes an expression apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut rest = text;
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{b}', '\u{c}']);
        if let Some(comment) = rest.strip_prefix("--") {
            rest = after_comment(comment)?;
            continue;
        }
        let Some(first) = rest.chars().next() else { break };
        let (token, behind) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
                (Token::Word(word.to_owned()), behind)
            }
            '0'..='9' => number(rest)?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest)?,
            '"' | '\'' => quoted(rest, first)?,
            '[' => match long(rest)? {
                Some((content, behind)) => (Token::Text(content.as_bytes().to_vec()), behind),
                None => (Token::Sign("["), &rest[1..]),
            },
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), &rest[sign.len()..]),
                None => return Err(SyntaxError(format!("unexpected symbol near '{first}'"))),
            },
        };
        if tokens.len() >= LONGEST {
            return Err(SyntaxError("the expression is too long".to_owned()));
        }
        tokens.push(token);
        rest = behind;
    }
    tokens.push(Token::End);
    Ok(tokens)
}

fn after_comment(comment: &str) -> Result<&str, SyntaxError> {
    if let Some((_, behind)) = long(comment)? {
        return Ok(behind);
    }
    Ok(comment.find('\n').map_or("", |end| &comment[end..]))
}

fn number(text: &str) -> Result<(Token, &str), SyntaxError> {
    let mut end = 0;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(end) {
        // The sign of an exponent belongs to the number: `1e-3`.
        let signs = matches!(byte, b'+' | b'-')
            && matches!(bytes.get(end.wrapping_sub(1)), Some(b'e' | b'E'))
            && !text.starts_with("0x");
        if !byte.is_ascii_alphanumeric() && *byte != b'.' && !signs {
            break;
        }
        // `1..2` joins two numbers in Lua only with blanks between; as Lua, this takes it whole.
        end += 1;
    }
    let (digits, behind) = text.split_at(end);
    match super::value::number(digits.as_bytes()) {
        Some(number) => Ok((Token::Number(number), behind)),
        None => Err(SyntaxError(format!("malformed number near '{digits}'"))),
    }
}

fn quoted(text: &str, quote: char) -> Result<(Token, &str), SyntaxError> {
    let unfinished = || SyntaxError("unfinished string".to_owned());
    let mut content = Vec::new();
    let mut rest = text[1..].chars();
    loop {
        match rest.next().ok_or_else(unfinished)? {
            c if c == quote => return Ok((Token::Text(content), rest.as_str())),
            '\n' => return Err(unfinished()),
            '\\' => match rest.next().ok_or_else(unfinished)? {
                digit @ '0'..='9' => {
                    let mut code = digit.to_digit(10).unwrap_or_default();
                    for _ in 0..2 {
                        let mut ahead = rest.clone();
                        let Some(digit) = ahead.next().and_then(|c| c.to_digit(10)) else { break };
                        code = code * 10 + digit;
                        rest = ahead;
                    }
                    let byte = u8::try_from(code)
                        .map_err(|_| SyntaxError("escape sequence too large".to_owned()))?;
                    content.push(byte);
                }
                escaped => {
                    let meant = match escaped {
                        'a' => '\u{7}',
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'v' => '\u{b}',
                        other => other,
                    };
                    content.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
                }
            },
            c => content.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// What stands in long brackets (`[[…]]`, `[==[…]==]`) at the beginning of `text`, and what is
/// behind them; none if there are no such brackets.
fn long(text: &str) -> Result<Option<(&str, &str)>, SyntaxError> {
    let Some(inner) = text.strip_prefix('[') else { return Ok(None) };
    let level = inner.len() - inner.trim_start_matches('=').len();
    let Some(content) = inner[level..].strip_prefix('[') else { return Ok(None) };
    let content = content.strip_prefix('\n').unwrap_or(content);
    let closing = format!("]{}]", "=".repeat(level));
    match content.split_once(&closing) {
        Some(parts) => Ok(Some(parts)),
        None => Err(SyntaxError("unfinished long string".to_owned())),
    }
}
