//! JSON in its canonical form (RFC 8785): no blanks, members in the order of their names, one spelling for every text
//! and number.

use serde_json::Value;

/// The canonical text of a value.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// A value that was parsed is at most 128 deep.
fn write(value: &Value, to: &mut String) {
    match value {
        Value::Array(items) => {
            to.push('[');
            for (at, item) in items.iter().enumerate() {
                separate(at, to);
                write(item, to);
            }
            to.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            to.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                separate(at, to);
                to.push_str(&Value::from(name.as_str()).to_string());
                to.push(':');
                write(value, to);
            }
            to.push('}');
        }
        Value::Number(number) => to.push_str(&number_text(number.as_f64().unwrap_or_default())),
        // serde_json escapes what has to be escaped, in the same spelling, and nothing else.
        Value::Null | Value::Bool(_) | Value::String(_) => to.push_str(&value.to_string()),
    }
}

fn separate(at: usize, to: &mut String) {
    if at > 0 {
        to.push(',');
    }
}

/// A number as ECMAScript writes it (ECMA-262, Number::toString): the fewest digits that stand for it alone.
fn number_text(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let shortest = shortest(number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if number < 0.0 { "-" } else { "" };
    let many = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // Where the point stands, counted from the first digit.
    let point = exponent + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let split = |at: i32| digits.split_at_checked(usize::try_from(at).unwrap_or_default()).unwrap_or((&digits, ""));
    let text = match point {
        _ if many <= point && point <= 21 => format!("{digits}{}", zeros(point - many)),
        1..=21 => {
            let (whole, rest) = split(point);
            format!("{whole}.{rest}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = split(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{exponent:+}")
        }
    };
    format!("{sign}{text}")
}

/// The fewest digits that stand for a number alone, with an exponent. Of two that are as near the last digit is even.
fn shortest(number: f64) -> String {
    let text = format!("{number:e}");
    let digits = text.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let even = format!("{number:.*e}", digits.saturating_sub(1));
    if even.parse() == Ok(number) { even } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_in_the_standard() {
        // RFC 8785 appendix B.
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(number_text(f64::from_bits(bits)), expected);
        }
    }

    #[test]
    fn numbers_of_a_text_are_taken_as_they_are() {
        for text in ["31.245270191439438", "121.48791951161945"] {
            let number: Value = serde_json::from_str(text).unwrap();
            assert_eq!(canonical(&number), text);
        }
    }

    #[test]
    fn members_are_in_the_order_of_utf_16() {
        // RFC 8785 section 3.2.3.
        let names = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "o",
        });
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"o\",\
                        \"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\
                        \"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(canonical(&names), expected);
    }

    #[test]
    fn texts_have_one_spelling() {
        let value = json!(["\u{20ac}$\u{f}\nA'B\"\\\\\"/", { "b": [null, true], "a": {} }, 4.50, 2e-3, 1e27]);
        let expected = "[\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\",{\"a\":{},\"b\":[null,true]},4.5,0.002,1e+27]";
        assert_eq!(canonical(&value), expected);
    }

    proptest! {
        #[test]
        fn a_number_is_read_back_as_itself(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            prop_assert_eq!(number_text(number).parse::<f64>().unwrap(), number);
        }
    }
}
