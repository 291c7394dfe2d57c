//! The syntax of HAProxy: a directive for each line, in sections.

use crate::config::foreign::Place;
use crate::migrate::directive::{Directive, MAX_DIRECTIVES, Wrong};

/// Words that begin a section.
const SECTIONS: [&str; 22] = [
    "global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "mailers", "cache",
    "program", "http-errors", "ring", "log-forward", "fcgi-app", "crt-store", "traces", "log-profile", "acme",
    "namespace_list", "dynamic-update", "healthcheck",
];

/// Reads a whole text. Each section is a directive with its lines as its block.
pub(super) fn read(text: &str) -> Result<Vec<Directive>, Wrong> {
    let mut sections: Vec<Directive> = Vec::new();
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate();
    let mut count = 0;
    while let Some((index, line)) = lines.next() {
        let mut whole = line.to_owned();
        // A backslash at the end goes on with the next line.
        while ends_open(&whole) {
            whole.pop();
            let Some((_, next)) = lines.next() else { break };
            whole.push_str(next);
        }
        let mut words = words(&whole, index + 1)?.into_iter();
        let Some((name, place)) = words.next() else { continue };
        count += 1;
        if count > MAX_DIRECTIVES {
            return Err(Wrong::too_many(place));
        }
        let mut directive = Directive::new(name, words.map(|(word, _)| word).collect(), place);
        if SECTIONS.contains(&directive.name.as_str()) {
            directive.block = Some(Vec::new());
            sections.push(directive);
        } else if let Some(block) = sections.last_mut().and_then(|section| section.block.as_mut()) {
            block.push(directive);
        } else {
            let message = format!("`{}` stands before every section", directive.name);
            return Err(Wrong::new(place, message, "begin with `global`, `defaults`, `frontend` or `backend`"));
        }
    }
    Ok(sections)
}

/// Whether a line ends with a backslash that no other escapes.
fn ends_open(line: &str) -> bool {
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}

/// The words of a line with their places, without its comment.
fn words(line: &str, number: usize) -> Result<Vec<(String, Place)>, Wrong> {
    let mut found: Vec<(String, Place)> = Vec::new();
    let mut chars = line.chars().enumerate().peekable();
    let mut open: Option<(String, usize)> = None;
    while let Some((at, c)) = chars.next() {
        let column = at + 1;
        match c {
            c if c.is_whitespace() => found.extend(finished(&mut open, number)),
            '#' => break,
            '"' | '\'' => {
                let (text, _) = open.get_or_insert_with(|| (String::new(), column));
                let mut is_closed = false;
                while let Some((_, inner)) = chars.next() {
                    match inner {
                        inner if inner == c => {
                            is_closed = true;
                            break;
                        }
                        '\\' if c == '"' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                        inner => text.push(inner),
                    }
                }
                if !is_closed {
                    let place = Place { line: number, column, length: 1 };
                    return Err(Wrong::new(place, "this string does not end", format!("add {c}")));
                }
            }
            '\\' => {
                let (text, _) = open.get_or_insert_with(|| (String::new(), column));
                match chars.next() {
                    Some((_, c @ (' ' | '#' | '\\' | '"' | '\''))) => text.push(c),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    // A backslash of a pattern.
                    Some((_, c)) => text.extend(['\\', c]),
                    None => {}
                }
            }
            c => open.get_or_insert_with(|| (String::new(), column)).0.push(c),
        }
    }
    found.extend(finished(&mut open, number));
    Ok(found)
}

fn finished(open: &mut Option<(String, usize)>, line: usize) -> Option<(String, Place)> {
    let (text, column) = open.take()?;
    let length = text.chars().count().max(1);
    Some((text, Place { line, column, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_words_and_comments() {
        let text = "global # c\n  maxconn 10\nfrontend f\n  acl a hdr(x) \"y z\" w\\ v # d\n  bind \\\n  :80\n";
        let read = read(text).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].children()[0].arguments, ["a", "hdr(x)", "y z", "w v"]);
        assert_eq!(read[1].children()[1].arguments, [":80"]);
        assert_eq!(read[1].children()[1].place.line, 5);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, line, column) in [("  bind :80", 1, 3), ("global\n  x \"y", 2, 5)] {
            let wrong = read(text).unwrap_err();
            assert_eq!((wrong.place.line, wrong.place.column), (line, column), "{text}: {}", wrong.message);
        }
        let many = format!("global\n{}", "a\n".repeat(200_000));
        assert!(read(&many).unwrap_err().message.contains("more than"));
        assert!(read("global\n a\\").is_ok());
    }
}
