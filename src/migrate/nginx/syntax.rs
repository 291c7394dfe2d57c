//! The syntax of nginx: words, strings, semicolons and braces.

use crate::config::foreign::Place;
use crate::migrate::directive::{Directive, MAX_DEPTH, MAX_DIRECTIVES, Wrong};

/// Reads a whole text.
pub(super) fn read(text: &str) -> Result<Vec<Directive>, Wrong> {
    let mut reader = Reader { chars: text.chars().peekable(), line: 1, column: 1 };
    let mut open: Vec<(Option<Directive>, Vec<Directive>)> = vec![(None, Vec::new())];
    let mut words: Vec<(String, Place)> = Vec::new();
    let mut count = 0;
    while let Some((token, place)) = reader.next_token()? {
        match token {
            Token::Word(word) => words.push((word, place)),
            Token::End => {
                let Some(directive) = directive(&mut words) else { continue };
                count += 1;
                if count > MAX_DIRECTIVES {
                    return Err(Wrong::too_many(place));
                }
                if let Some((_, block)) = open.last_mut() {
                    block.push(directive);
                }
            }
            Token::Open => {
                let Some(mut directive) = directive(&mut words) else {
                    return Err(Wrong::new(place, "a block has no name", "write its name before the brace"));
                };
                if open.len() > MAX_DEPTH {
                    return Err(Wrong::too_deep(place));
                }
                if directive.name.ends_with("_by_lua_block") {
                    reader.skip_code(directive.place)?;
                    directive.block = Some(Vec::new());
                    open.last_mut().map(|(_, block)| block.push(directive)).unwrap_or_default();
                } else {
                    open.push((Some(directive), Vec::new()));
                }
            }
            Token::Close => {
                if let Some((_, place)) = words.first() {
                    return Err(Wrong::new(*place, "this directive does not end", "add `;`"));
                }
                let closed = open.pop();
                let (Some((Some(mut directive), block)), Some((_, above))) = (closed, open.last_mut()) else {
                    return Err(Wrong::new(place, "this brace closes nothing", "take it out"));
                };
                directive.block = Some(block);
                above.push(directive);
            }
        }
    }
    if let Some((_, place)) = words.first() {
        return Err(Wrong::new(*place, "this directive does not end", "add `;`"));
    }
    match (open.pop(), open.pop()) {
        (Some((None, top)), None) => Ok(top),
        (Some((Some(directive), _)), _) => {
            Err(Wrong::new(directive.place, format!("the block `{}` does not end", directive.name), "add `}`"))
        }
        _ => Ok(Vec::new()),
    }
}

/// The directive made of words, which are gone then.
fn directive(words: &mut Vec<(String, Place)>) -> Option<Directive> {
    let mut words = std::mem::take(words).into_iter();
    let (name, place) = words.next()?;
    Some(Directive::new(name, words.map(|(word, _)| word).collect(), place))
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.chars.next()?;
        if next == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    fn next_token(&mut self) -> Result<Option<(Token, Place)>, Wrong> {
        loop {
            let place = Place { line: self.line, column: self.column, length: 1 };
            let Some(next) = self.chars.peek().copied() else { return Ok(None) };
            let token = match next {
                c if c.is_whitespace() || c == '\u{feff}' => {
                    self.next();
                    continue;
                }
                '#' => {
                    while self.next().is_some_and(|c| c != '\n') {}
                    continue;
                }
                ';' => Token::End,
                '{' => Token::Open,
                '}' => Token::Close,
                '"' | '\'' => {
                    let word = self.string(next, place)?;
                    return Ok(Some((Token::Word(word), place)));
                }
                _ => {
                    let word = self.word();
                    let length = word.chars().count();
                    return Ok(Some((Token::Word(word), Place { length, ..place })));
                }
            };
            self.next();
            return Ok(Some((token, place)));
        }
    }

    /// A text between quotes. A backslash before a quote or itself is taken out.
    fn string(&mut self, quote: char, place: Place) -> Result<String, Wrong> {
        self.next();
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                c if c == quote => return Ok(text),
                '\\' => match self.next() {
                    Some(c @ ('"' | '\'' | '\\')) => text.push(c),
                    Some('t') => text.push('\t'),
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some(c) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(Wrong::new(place, "this string does not end", format!("add {quote}")))
    }

    /// A word up to a space, a semicolon or a brace. `${name}` is part of it.
    fn word(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.chars.peek().copied() {
            match c {
                c if c.is_whitespace() => break,
                ';' => break,
                '{' if !text.ends_with('$') => break,
                '}' if !is_in_variable(&text) => break,
                '\\' => {
                    self.next();
                    text.push('\\');
                    // What is behind a backslash ends nothing.
                    text.extend(self.next());
                    continue;
                }
                _ => {}
            }
            text.extend(self.next());
        }
        text
    }

    /// Goes to the end of a block of Lua, whose text is not read.
    fn skip_code(&mut self, place: Place) -> Result<(), Wrong> {
        let mut level = 1_usize;
        while let Some(c) = self.next() {
            match c {
                '{' => level += 1,
                '}' => level -= 1,
                _ => {}
            }
            if level == 0 {
                return Ok(());
            }
        }
        Err(Wrong::new(place, "this block does not end", "add `}`"))
    }
}

fn is_in_variable(text: &str) -> bool {
    text.rfind("${").is_some_and(|at| !text.get(at..).unwrap_or_default().contains('}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_strings_and_blocks() {
        let text = "# c\na 'b \\'c' \"d;\" ${e}f; g { h i; }\nj /x/\\d{2};";
        let read = read("a 'b \\'c' \"d;\" ${e}f; g { h i; }").unwrap();
        assert_eq!(read[0].arguments, ["b 'c", "d;", "${e}f"]);
        assert_eq!(read[1].children()[0].shown(), "h i");
        assert!(super::read(text).is_err(), "a brace in a pattern needs quotes, as in nginx");
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, line, column) in [
            ("a;\n  b c", 2, 3),
            ("a {\n b;", 1, 1),
            ("}", 1, 1),
            ("a;\n\"b", 2, 1),
            ("{ }", 1, 1),
            ("a { b }", 1, 5),
            ("x_by_lua_block { if { }", 1, 1),
        ] {
            let wrong = read(text).unwrap_err();
            assert_eq!((wrong.place.line, wrong.place.column), (line, column), "{text}: {}", wrong.message);
        }
        assert!(read(&"a {".repeat(1000)).unwrap_err().message.contains("nested"));
        assert!(read(&"a;".repeat(200_000)).unwrap_err().message.contains("more than"));
        assert!(read("content_by_lua_block { local x = { 1 } } b;").unwrap().len() == 2);
    }
}
