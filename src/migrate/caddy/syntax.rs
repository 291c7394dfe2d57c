//! The syntax of a Caddyfile: words in lines, blocks in braces, strings in quotes or backticks.

use crate::config::foreign::Place;
use crate::migrate::directive::{Directive, MAX_DEPTH, MAX_DIRECTIVES, Wrong};

/// Reads a whole text. A site without braces, the only one then, gets the rest of the file as its block.
pub(super) fn read(text: &str) -> Result<Vec<Directive>, Wrong> {
    let lines = lines(text)?;
    let mut open: Vec<(Option<Directive>, Vec<Directive>)> = vec![(None, Vec::new())];
    for (count, line) in lines.into_iter().enumerate() {
        let place = line.first().map(|(_, place, _)| *place).unwrap_or_default();
        if count > MAX_DIRECTIVES {
            return Err(Wrong::too_many(place));
        }
        let mut words = line;
        let opens = words.last().is_some_and(|(word, _, is_quoted)| word == "{" && !is_quoted);
        if opens {
            words.pop();
        }
        if words.len() == 1 && words.first().is_some_and(|(word, _, is_quoted)| word == "}" && !is_quoted) {
            let closed = open.pop();
            let (Some((Some(mut directive), block)), Some((_, above))) = (closed, open.last_mut()) else {
                return Err(Wrong::new(place, "this brace closes nothing", "take it out"));
            };
            directive.block = Some(block);
            above.push(directive);
            continue;
        }
        let mut words = words.into_iter().map(|(word, ..)| word);
        // Global options have no name.
        let directive = Directive::new(words.next().unwrap_or_default(), words.collect(), place);
        if opens {
            if open.len() > MAX_DEPTH {
                return Err(Wrong::too_deep(place));
            }
            open.push((Some(directive), Vec::new()));
        } else if let Some((_, block)) = open.last_mut() {
            block.push(directive);
        }
    }
    match (open.pop(), open.pop()) {
        (Some((None, top)), None) => Ok(sites(top)),
        (Some((Some(directive), _)), _) => Err(Wrong::new(directive.place, "this block does not end", "add `}`")),
        _ => Ok(Vec::new()),
    }
}

/// The only site of a file may do without braces: its first line is its address then.
fn sites(top: Vec<Directive>) -> Vec<Directive> {
    let mut rest = top;
    let at = rest.iter().position(|one| !one.name.is_empty() && !one.name.starts_with('('));
    let Some(at) = at else { return rest };
    if rest.get(at).is_none_or(|site| site.block.is_some()) {
        return rest;
    }
    let mut others = rest.split_off(at).into_iter();
    if let Some(mut site) = others.next() {
        site.block = Some(others.collect());
        rest.push(site);
    }
    rest
}

type Word = (String, Place, bool);

fn lines(text: &str) -> Result<Vec<Vec<Word>>, Wrong> {
    let mut found = Vec::new();
    let mut line: Vec<Word> = Vec::new();
    let mut chars = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    let (mut number, mut column) = (1, 0);
    while let Some(c) = chars.next() {
        column += 1;
        let place = Place { line: number, column, length: 1 };
        match c {
            '\n' => {
                (number, column) = (number + 1, 0);
                if !line.is_empty() {
                    found.push(std::mem::take(&mut line));
                }
            }
            c if c.is_whitespace() => {}
            '\\' if chars.peek() == Some(&'\n') => {
                chars.next();
                (number, column) = (number + 1, 0);
            }
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' | '`' => {
                let mut text = String::new();
                let mut is_closed = false;
                while let Some(inner) = chars.next() {
                    column += 1;
                    match inner {
                        inner if inner == c => {
                            is_closed = true;
                            break;
                        }
                        '\\' if c == '"' && chars.peek() == Some(&'"') => text.extend(chars.next()),
                        '\n' => {
                            (number, column) = (number + 1, 0);
                            text.push('\n');
                        }
                        inner => text.push(inner),
                    }
                }
                if !is_closed {
                    return Err(Wrong::new(place, "this string does not end", format!("add {c}")));
                }
                line.push((text, place, true));
            }
            c => {
                let mut text = String::from(c);
                while let Some(more) = chars.next_if(|c| !c.is_whitespace()) {
                    column += 1;
                    text.push(more);
                }
                let length = text.chars().count();
                line.push((text, Place { length, ..place }, false));
            }
        }
    }
    if !line.is_empty() {
        found.push(line);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_blocks_and_strings() {
        let read =
            read("{\n email a@b\n}\na.com, b.com {\n respond \"x y\" `q\"r` # c\n handle /x {\n  abort\n }\n}\n")
                .unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].name.as_str(), read[1].name.as_str()), ("", "a.com,"));
        assert_eq!(read[1].children()[0].arguments, ["x y", "q\"r"]);
        assert_eq!(read[1].children()[1].children()[0].name, "abort");
        let alone = super::read("localhost\nrespond ok\n").unwrap();
        assert_eq!((alone.len(), alone[0].children().len()), (1, 1));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, line, column) in [("a {\n", 1, 1), ("}\n", 1, 1), ("a {\n b \"c\n}", 2, 4)] {
            let wrong = read(text).unwrap_err();
            assert_eq!((wrong.place.line, wrong.place.column), (line, column), "{text}: {}", wrong.message);
        }
        assert!(read(&"a {\n".repeat(1000)).unwrap_err().message.contains("nested"));
    }
}
