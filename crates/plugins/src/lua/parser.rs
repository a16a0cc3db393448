//! Tokens into a tree.

use super::lexer::{Token, tokens};

/// An expression within an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(Vec<u8>),
    Name(String),
    Member(Box<Node>, Box<Node>),
    Call(Box<Node>, Vec<Node>),
    /// `value:name(…)`: the method is a function of the library for strings.
    Method(Box<Node>, String, Vec<Node>),
    Table(Vec<(Option<Node>, Node)>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
}

/// An operator before its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Minus,
    Length,
}

/// An operator between its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Join,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Why a text is no expression that can be evaluated here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SyntaxError(pub(super) String);

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let node = parser.expression(0)?;
    parser.end()?;
    Ok(node)
}

pub(super) fn parse_return(text: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser::new(text)?;
    match parser.next() {
        Token::End => return Ok(Node::Nil),
        Token::Word(word) if word == "return" => {}
        other => {
            return Err(SyntaxError(format!(
                "statements need Lua, which this version does not run; \
                 write 'return <expression>' (near '{}')",
                told(&other)
            )));
        }
    }
    let closes = parser.peek() == &Token::End || parser.peek() == &Token::Sign(";");
    let node = if closes { Node::Nil } else { parser.expression(0)? };
    parser.takes(";");
    parser.end()?;
    Ok(node)
}

impl Node {
    pub(super) fn paths<'n>(&'n self, out: &mut Vec<Vec<&'n str>>) {
        if let Some(path) = self.path() {
            out.push(path);
            return;
        }
        match self {
            Node::Nil | Node::Boolean(_) | Node::Number(_) | Node::Text(_) | Node::Name(_) => {}
            Node::Member(one, other)
            | Node::And(one, other)
            | Node::Or(one, other)
            | Node::Binary(_, one, other) => {
                one.paths(out);
                other.paths(out);
            }
            Node::Call(one, many) | Node::Method(one, _, many) => {
                one.paths(out);
                many.iter().for_each(|node| node.paths(out));
            }
            Node::Table(members) => members.iter().for_each(|(key, value)| {
                key.iter().for_each(|key| key.paths(out));
                value.paths(out);
            }),
            Node::Unary(_, one) => one.paths(out),
        }
    }

    fn path(&self) -> Option<Vec<&str>> {
        match self {
            Node::Name(name) => Some(vec![name]),
            Node::Member(of, key) => {
                let Node::Text(key) = &**key else { return None };
                let mut path = of.path()?;
                path.push(std::str::from_utf8(key).ok()?);
                Some(path)
            }
            _ => None,
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

/// Deeper nesting is refused, as it is in Lua.
const DEEPEST: usize = 100;

/// Words that cannot be names.
const RESERVED: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
    "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// How strongly the operators before an operand bind.
const UNARY_POWER: u8 = 12;

impl Parser {
    fn new(text: &str) -> Result<Parser, SyntaxError> {
        Ok(Parser { tokens: tokens(text)?, at: 0, depth: 0 })
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let there = self.peek() == &Token::Sign(sign);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), SyntaxError> {
        if self.takes(sign) {
            return Ok(());
        }
        Err(SyntaxError(format!("'{sign}' expected near '{}'", told(self.peek()))))
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Token::End => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// An expression of operators that bind more strongly than `power`.
    fn expression(&mut self, power: u8) -> Result<Node, SyntaxError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(SyntaxError("the expression is nested too deeply".to_owned()));
        }
        let mut left = self.operand()?;
        while let Some((operator, strength, next)) = operator(self.peek()) {
            if strength <= power {
                break;
            }
            self.at += 1;
            let right = Box::new(self.expression(next)?);
            let one = Box::new(left);
            left = match operator {
                Operator::And => Node::And(one, right),
                Operator::Or => Node::Or(one, right),
                Operator::Binary(binary) => Node::Binary(binary, one, right),
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Node, SyntaxError> {
        let unary = match self.peek() {
            Token::Word(word) if word == "not" => Some(Unary::Not),
            Token::Sign("-") => Some(Unary::Minus),
            Token::Sign("#") => Some(Unary::Length),
            _ => None,
        };
        if let Some(unary) = unary {
            self.at += 1;
            return Ok(Node::Unary(unary, Box::new(self.expression(UNARY_POWER)?)));
        }
        let literal = match self.peek() {
            Token::Number(number) => Node::Number(*number),
            Token::Text(text) => Node::Text(text.clone()),
            Token::Sign("{") => return self.table(),
            Token::Word(word) => match word.as_str() {
                "nil" => Node::Nil,
                "true" => Node::Boolean(true),
                "false" => Node::Boolean(false),
                "function" => {
                    return Err(SyntaxError(
                        "functions need Lua, which this version does not run".to_owned(),
                    ));
                }
                _ => return self.suffixed(),
            },
            _ => return self.suffixed(),
        };
        self.at += 1;
        Ok(literal)
    }

    fn suffixed(&mut self) -> Result<Node, SyntaxError> {
        let mut node = match self.next() {
            Token::Word(name) if !RESERVED.contains(&name.as_str()) => Node::Name(name),
            Token::Sign("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                inner
            }
            other => return Err(unexpected(&other)),
        };
        loop {
            node = match self.peek() {
                Token::Sign(".") => {
                    self.at += 1;
                    Node::Member(Box::new(node), Box::new(Node::Text(self.name()?.into_bytes())))
                }
                Token::Sign("[") => {
                    self.at += 1;
                    let key = self.expression(0)?;
                    self.expect("]")?;
                    Node::Member(Box::new(node), Box::new(key))
                }
                Token::Sign(":") => {
                    self.at += 1;
                    let name = self.name()?;
                    let arguments = self.arguments()?;
                    Node::Method(Box::new(node), name, arguments)
                }
                Token::Sign("(" | "{") | Token::Text(_) => {
                    Node::Call(Box::new(node), self.arguments()?)
                }
                _ => return Ok(node),
            };
        }
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        match self.next() {
            Token::Word(name) if !RESERVED.contains(&name.as_str()) => Ok(name),
            other => Err(SyntaxError(format!("name expected near '{}'", told(&other)))),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Node>, SyntaxError> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.at += 1;
                return Ok(vec![Node::Text(text)]);
            }
            Token::Sign("{") => return Ok(vec![self.table()?]),
            _ => self.expect("(")?,
        }
        let mut arguments = Vec::new();
        if self.takes(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            if !self.takes(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    fn table(&mut self) -> Result<Node, SyntaxError> {
        self.expect("{")?;
        let mut members = Vec::new();
        while !self.takes("}") {
            let named = matches!(self.tokens.get(self.at + 1), Some(Token::Sign("=")));
            let key = match self.peek() {
                Token::Sign("[") => {
                    self.at += 1;
                    let key = self.expression(0)?;
                    self.expect("]")?;
                    self.expect("=")?;
                    Some(key)
                }
                Token::Word(_) if named => {
                    let name = self.name()?;
                    self.expect("=")?;
                    Some(Node::Text(name.into_bytes()))
                }
                _ => None,
            };
            members.push((key, self.expression(0)?));
            if !self.takes(",") && !self.takes(";") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Node::Table(members))
    }
}

enum Operator {
    And,
    Or,
    Binary(Binary),
}

/// The operator that a token is, how strongly it binds to its left, and to its right.
fn operator(token: &Token) -> Option<(Operator, u8, u8)> {
    use Operator::Binary as B;
    Some(match token {
        Token::Word(word) if word == "or" => (Operator::Or, 1, 1),
        Token::Word(word) if word == "and" => (Operator::And, 2, 2),
        Token::Sign("<") => (B(Binary::Less), 3, 3),
        Token::Sign(">") => (B(Binary::Greater), 3, 3),
        Token::Sign("<=") => (B(Binary::AtMost), 3, 3),
        Token::Sign(">=") => (B(Binary::AtLeast), 3, 3),
        Token::Sign("~=") => (B(Binary::Unequal), 3, 3),
        Token::Sign("==") => (B(Binary::Equal), 3, 3),
        // These two bind to their right first: `2 ^ 3 ^ 2` is `2 ^ (3 ^ 2)`.
        Token::Sign("..") => (B(Binary::Join), 5, 4),
        Token::Sign("+") => (B(Binary::Add), 6, 6),
        Token::Sign("-") => (B(Binary::Subtract), 6, 6),
        Token::Sign("*") => (B(Binary::Multiply), 7, 7),
        Token::Sign("/") => (B(Binary::Divide), 7, 7),
        Token::Sign("%") => (B(Binary::Modulo), 7, 7),
        Token::Sign("^") => (B(Binary::Power), 14, 13),
        _ => return None,
    })
}

fn unexpected(token: &Token) -> SyntaxError {
    SyntaxError(format!("unexpected symbol near '{}'", told(token)))
}

fn told(token: &Token) -> String {
    match token {
        Token::Word(word) => word.clone(),
        Token::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Token::Number(number) => number.to_string(),
        Token::Sign(sign) => (*sign).to_owned(),
        Token::End => "<eof>".to_owned(),
    }
}
