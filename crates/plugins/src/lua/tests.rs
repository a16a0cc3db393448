use super::*;

/// Names for the tests: `x` is a text, `n` a text of a number, `list` has two members, `get` is a
/// function that gives its argument back.
struct Names;

impl Source for Names {
    fn get<'v>(&'v self, at: Place, key: &Value<'_>) -> Value<'v> {
        let Value::Text(name) = key else { return Value::Nil };
        match &**name {
            _ if at != ROOT => Value::Nil,
            b"x" => Value::text("hello"),
            b"n" => Value::text("41"),
            b"list" => Value::one_or_list(vec![Value::text("1"), Value::text("2")]),
            b"get" => Value::Source(self, 1),
            _ => Library.get(ROOT, key),
        }
    }

    fn call<'v>(&'v self, at: Place, arguments: &[Value<'v>]) -> Option<Value<'v>> {
        (at == 1).then(|| arguments.first().cloned().unwrap_or(Value::Nil))
    }
}

fn value(text: &str) -> Result<String, String> {
    let expression = Expression::parse(text).map_err(|error| error.to_string())?;
    let value = expression.evaluate(&Names).map_err(|error| error.to_string())?;
    Ok(value.to_json().map_or("nil".to_owned(), |json| json.to_string()))
}

#[track_caller]
fn gives(text: &str, expected: &str) {
    assert_eq!(value(text), Ok(expected.to_owned()), "{text}");
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    assert_eq!(value(text), Err(expected.to_owned()), "{text}");
}

#[test]
fn literals() {
    gives("nil", "nil");
    gives("true", "true");
    gives("0x10", "16");
    gives(".5", "0.5");
    gives("1e3", "1000");
    gives(r#"'a\n\65\'"'"#, r#""a\nA'\"""#);
    gives("[==[a]]b]==]", r#""a]]b""#);
    gives("{1, 'b', [3] = 4, c = {}; d = {true},}", r#"{"1":1,"2":"b","3":4,"c":{},"d":[true]}"#);
    gives("x -- a word", r#""hello""#);
}

#[test]
fn operators_bind_as_in_lua() {
    gives("1 + 2 * 3 - 4 / 2", "5");
    gives("2 ^ 3 ^ 2", "512");
    gives("-2 ^ 2", "-4");
    gives("2 ^ -1", "0.5");
    gives("-7 % 3", "2");
    gives("'a' .. 1 + 1 .. 'b'", r#""a2b""#);
    gives("1 < 2 == true", "true");
    gives("'a' < 'b' and 'b' <= 'b'", "true");
    gives("not nil == true", "true");
    gives("nil or false and 1 or 'd'", r#""d""#);
    gives("1 == '1'", "false");
    gives("#x + #list", "7");
    gives("n + 1", "42");
    gives("1.5 .. ''", r#""1.5""#);
    gives("1e15 .. ''", r#""1e+15""#);
    gives("0.1 + 0.2 .. ''", r#""0.3""#);
}

#[test]
fn members_and_calls() {
    gives("list[2]", r#""2""#);
    gives("list[3]", "nil");
    gives("({a = 1}).a", "1");
    gives("get('v')", r#""v""#);
    gives("get 'v'", r#""v""#);
    gives("type(list) == 'table' and list[1] .. '-first' or list", r#""1-first""#);
    gives("x:upper():sub(2, -2)", r#""ELL""#);
    gives("string.rep('ab', 2):len()", "4");
    gives("tostring(nil) .. tonumber('0x1F')", r#""nil31""#);
    gives("tonumber('inf')", "nil");
}

#[test]
fn what_cannot_be_done_is_an_error_in_lua_s_words() {
    fails("none.a", "attempt to index global 'none' (a nil value)");
    fails("list.none + 1", "attempt to perform arithmetic on field 'none' (a nil value)");
    fails("10 * x", "attempt to perform arithmetic on global 'x' (a string value)");
    fails("'a' .. nil", "attempt to concatenate a nil value");
    fails("1 < 'b'", "attempt to compare number with string");
    fails("x()", "attempt to call global 'x' (a string value)");
    fails("x:gsub('l', '')", "string:gsub() needs Lua, which this version does not run");
    fails("('x'):rep(1e9)", "resulting string too large");
}

#[test]
fn what_is_no_expression_is_refused() {
    fails("", "unexpected symbol near '<eof>'");
    fails("1 + ", "unexpected symbol near '<eof>'");
    fails("a b c", "unexpected symbol near 'b'");
    fails("shared.written = true", "unexpected symbol near '='");
    fails("(1", "')' expected near '<eof>'");
    fails("'a", "unfinished string");
    fails("1x", "malformed number near '1x'");
    fails("(function() end)()", "functions need Lua, which this version does not run");
    fails(&"(".repeat(500), "the expression is nested too deeply");
    fails(&"not ".repeat(500), "the expression is nested too deeply");
    fails(&"1+".repeat(5000), "the expression is too long");
}

#[test]
fn a_chunk_is_a_return_and_nothing_else() {
    let parses = |text: &str| Expression::parse_return(text).map_err(|error| error.to_string());
    assert_eq!(parses("return 1;").unwrap(), Expression::parse("1").unwrap());
    assert_eq!(parses("return").unwrap(), Expression::parse("nil").unwrap());
    assert!(parses("local a = 1 return a").unwrap_err().starts_with("statements need Lua"));
}

#[test]
fn free_names_are_told_with_their_members() {
    let expression = Expression::parse("kong.request.get_header(a['b']) .. c[1].d").unwrap();
    assert_eq!(
        expression.paths(),
        [vec!["kong", "request", "get_header"], vec!["a", "b"], vec!["c"]]
    );
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "[a-z0-9'\"\\[\\](){}=.,:;+*/<>~# -]{0,60}|\\PC{0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.evaluate(&Names);
        }
    }
}
