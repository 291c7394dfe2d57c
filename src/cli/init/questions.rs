//! Three questions on a terminal.

use std::io::{BufRead, Read as _, Write};
use std::str::FromStr;

use super::Wanted;
use crate::cli::Failure;
use crate::cli::starter::{Agent, Listen, Tls};

/// Asks for what the flags did not say.
pub(super) fn ask(mut wanted: Wanted, input: &mut impl BufRead, output: &mut impl Write) -> Result<Wanted, Failure> {
    let agent: Agent = answer("Where is the agent? Host and port, or a URL", "127.0.0.1:9101", input, output)?;
    wanted.agents.push(agent);
    if wanted.tls.is_none() {
        let question = "TLS? no, dev (a certificate is made), or a directory that holds one";
        let answer: String = answer(question, "no", input, output)?;
        wanted.tls = (answer != "no").then(|| answer.parse::<Tls>().unwrap_or(Tls::Development));
    }
    if wanted.listen.is_none() {
        let usual = if wanted.tls.is_some() { "127.0.0.1:8443" } else { "127.0.0.1:8080" };
        let question = "Where does the gateway listen? :8080 is every address of this machine";
        wanted.listen = Some(answer::<Listen>(question, usual, input, output)?);
    }
    Ok(wanted)
}

/// The answer to one question; `usual` when it is empty. What cannot be read is asked again.
fn answer<T: FromStr>(
    question: &str,
    usual: &str,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    for _ in 0..TRIES {
        write!(output, "{question} [{usual}]: ").and_then(|()| output.flush()).ok();
        let mut line = String::new();
        let read = input.by_ref().take(MAX_LINE).read_line(&mut line);
        if !read.is_ok_and(|read| read > 0) {
            break;
        }
        let typed = line.trim();
        match if typed.is_empty() { usual } else { typed }.parse() {
            Ok(value) => return Ok(value),
            Err(error) => writeln!(output, "  {error}").ok(),
        };
    }
    Err(Failure::new("there is no answer", "give the answers as flags: see `attache init --help`"))
}

/// How often a question is asked.
const TRIES: usize = 3;
/// Longest answer.
const MAX_LINE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &str, listen: Option<&str>) -> Result<(Wanted, String), Failure> {
        let listen = listen.map(|listen| listen.parse().unwrap());
        let wanted = Wanted { agents: Vec::new(), listen, tls: None };
        let mut output = Vec::new();
        let wanted = ask(wanted, &mut answers.as_bytes(), &mut output)?;
        Ok((wanted, String::from_utf8(output).unwrap()))
    }

    #[test]
    fn empty_answers_are_the_usual_ones() {
        let (wanted, said) = asked("\n\n\n", None).unwrap();
        assert_eq!(wanted.agents, ["127.0.0.1:9101".parse().unwrap()]);
        assert_eq!((wanted.listen, wanted.tls), (Some(Listen::here(8080)), None));
        assert!(said.contains("[127.0.0.1:9101]: ") && said.contains("[127.0.0.1:8080]: "), "{said}");
    }

    #[test]
    fn a_wrong_answer_is_asked_again_and_flags_are_not_asked_for() {
        let (wanted, said) = asked("nowhere at all\n9102\ndev\n", Some(":9000")).unwrap();
        assert_eq!(wanted.agents, ["127.0.0.1:9102".parse().unwrap()]);
        assert_eq!((wanted.listen, wanted.tls), (Some(":9000".parse().unwrap()), Some(Tls::Development)));
        assert!(said.contains("write host and port"), "{said}");
        let (wanted, _) = asked("9102\n/etc/tls\n\n", None).unwrap();
        assert_eq!(wanted.tls, Some(Tls::Directory("/etc/tls".into())));
        assert_eq!(wanted.listen, Some(Listen::here(8443)));
    }

    #[test]
    fn no_answer_ends_it() {
        for answers in ["", "9101\n", "a b\nc d\ne f\n9101\n"] {
            assert!(asked(answers, None).is_err(), "{answers:?}");
        }
    }
}
