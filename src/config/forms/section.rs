//! One declaration for each key: name, type, legal range, default and meaning stand together in [`section!`]. From it
//! come the runtime type, decoding, the default, the schema, and with that the reference and what `config show
//! --defaults` fills in. See `docs/adding-a-key.md`.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::config::report::Report;
use crate::config::yaml;

/// Declares mappings of the file. A field is `name: Type as Form = default`: what the program keeps, how it is written
/// where that differs, and the default in the words of a file (one token, such as `30s`, `off`, `{}` or `"http/1.1"`).
/// A field without a default is an `Option`, and its description says what is without it (`Default: no ceiling.`).
/// Behind a `;` stands what else holds for the key:
///
/// - `restart`: a change of it needs a restart; `restart inside` for a section with such keys.
/// - `whole`: a value that is given takes nothing from one under `defaults`.
/// - `one of GROUP`: of the keys of this group in a mapping only one can be given, so it keeps out the defaults of the
///   others; `whole one of GROUP` is both.
/// - `empty`: without it the empty value is kept. The description says what that means, or that the key is required.
/// - `of type`: the key belongs to one value of the key `type`, and is not taken from a default of another type.
///
/// Attributes for serde and schemars stand at the end, in brackets.
macro_rules! section {
    ($(
        #[derive($($derive:ident),*)]
        $(#[doc = $about:tt])+
        $vis:vis struct $name:ident $([$($on_all:meta),+])? {$(
            $(#[doc = $doc:tt])+
            $field:ident: $type:ty $(as $form:ty)? $(= $default:tt)? $(; $($rule:ident)+)? $([$($attribute:meta),+])?
        ),* $(,)?}
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Debug, $($derive),*)]
        $vis struct $name {
            $($(#[doc = $doc])+ $vis $field: $type),*
        }

        #[allow(clippy::clone_on_copy, clippy::unnecessary_fallible_conversions, reason = "one form for all types")]
        #[allow(unused_variables, reason = "most sections have nothing that needs a restart")]
        const _: () = {
            // As it stands in a file, where every key may be absent.
            #[derive(serde::Deserialize, schemars::JsonSchema)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            $($(#[$on_all])+)?
            $(#[doc = $about])+
            struct $name {$(
                $(#[doc = $doc])+
                $(#[schemars(extend("default" = $crate::config::forms::words_as_json(stringify!($default))))])?
                $(#[schemars(extend("x-rule" = concat!($(" ", stringify!($rule)),+)))])?
                $($(#[$attribute])+)?
                $field: Option<$crate::config::forms::field!(form [$type] [$($form)?])>
            ),*}

            static DEFAULT: std::sync::LazyLock<self::$name> = std::sync::LazyLock::new(|| self::$name {$(
                $field: $crate::config::forms::field!(default [$type] [$($form)?] [$($default)?])
            ),*});

            impl Default for self::$name {
                fn default() -> Self {
                    DEFAULT.clone()
                }
            }

            impl<'de> serde::Deserialize<'de> for self::$name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let file = <$name as serde::Deserialize>::deserialize(deserializer)?;
                    Ok(Self {$(
                        $field: $crate::config::forms::field!(
                            read [file.$field] [DEFAULT.$field] [$($form)?] [$($default)?] [$($($rule)+)?]
                        )
                    ),*})
                }
            }

            impl $crate::config::forms::RestartRequired for self::$name {
                fn restart_required(&self, at: &str, out: &mut std::collections::BTreeMap<String, String>) {
                    $($crate::config::forms::field!(
                        restart_required [self.$field] [stringify!($field)] [$($($rule)+)?] at out
                    );)*
                }
            }

            impl schemars::JsonSchema for self::$name {
                fn schema_name() -> std::borrow::Cow<'static, str> {
                    <$name as schemars::JsonSchema>::schema_name()
                }
                fn schema_id() -> std::borrow::Cow<'static, str> {
                    <$name as schemars::JsonSchema>::schema_id()
                }
                fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    <$name as schemars::JsonSchema>::json_schema(generator)
                }
            }
        };
    )+};
}
pub(in crate::config) use section;

/// The parts of [`section!`] that differ with what a field declares.
macro_rules! field {
    (form [$type:ty] []) => {
        $type
    };
    (form [$type:ty] [$form:ty]) => {
        $form
    };
    (default [$type:ty] [$($form:ty)?] []) => {
        Default::default()
    };
    (default [$type:ty] [] [$default:tt]) => {
        $crate::config::forms::of_words::<$type>(stringify!($default))
    };
    (default [$type:ty] [$form:ty] [$default:tt]) => {
        $crate::config::forms::Written::meaning($crate::config::forms::of_words::<$form>(stringify!($default)))
    };
    (read [$value:expr] [$usual:expr] [] [] [$($rule:ident)*]) => {
        $value.unwrap_or_default()
    };
    (read [$value:expr] [$usual:expr] [$form:ty] [] [empty]) => {
        $value.map($crate::config::forms::Written::meaning).unwrap_or_default()
    };
    (read [$value:expr] [$usual:expr] [$form:ty] [] [$($rule:ident)*]) => {
        $value.map($crate::config::forms::Written::meaning)
    };
    (read [$value:expr] [$usual:expr] [] [$default:tt] [$($rule:ident)*]) => {
        $value.unwrap_or_else(|| $usual.clone())
    };
    (read [$value:expr] [$usual:expr] [$form:ty] [$default:tt] [$($rule:ident)*]) => {
        $value.map_or_else(|| $usual.clone(), $crate::config::forms::Written::meaning)
    };
    (restart_required [$value:expr] [$name:expr] [restart] $at:ident $out:ident) => {
        $out.insert(format!("{}{}", $at, $crate::config::forms::camel($name)), format!("{:?}", $value))
    };
    (restart_required [$value:expr] [$name:expr] [restart inside] $at:ident $out:ident) => {
        $crate::config::forms::RestartRequired::restart_required(
            &$value,
            &format!("{}{}.", $at, $crate::config::forms::camel($name)),
            $out,
        )
    };
    (restart_required [$value:expr] [$name:expr] [$($rule:ident)*] $at:ident $out:ident) => {};
}
pub(in crate::config) use field;

/// What cannot change while the gateway runs.
pub(in crate::config) trait RestartRequired {
    /// Adds each key that needs a restart, with a text that is another where its value is. `at` stands before the keys.
    fn restart_required(&self, at: &str, out: &mut BTreeMap<String, String>);
}

impl<T: RestartRequired> RestartRequired for Option<T> {
    fn restart_required(&self, at: &str, out: &mut BTreeMap<String, String>) {
        if let Some(section) = self {
            section.restart_required(at, out);
        }
    }
}

/// Those of all of them together, because a change of how many there are needs a restart as well.
impl<T: RestartRequired> RestartRequired for Vec<T> {
    fn restart_required(&self, at: &str, out: &mut BTreeMap<String, String>) {
        for section in self {
            let mut own = BTreeMap::new();
            section.restart_required(at, &mut own);
            for (key, value) in own {
                let all = out.entry(key).or_default();
                if !all.is_empty() {
                    all.push_str(", ");
                }
                all.push_str(&value);
            }
        }
    }
}

/// The name of a field as it stands in a file.
pub(in crate::config) fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        name + &initial.to_ascii_uppercase() + rest
    })
}

/// A default as the files have it.
#[expect(clippy::expect_used, reason = "the words are in the source, and a test reads all of them")]
pub(in crate::config) fn of_words<T: DeserializeOwned>(words: &str) -> T {
    let node = yaml::parse(words, 0, &mut Report::default()).expect("a default is YAML");
    T::deserialize(&node).expect("a default is legal")
}

/// A default as the schema has it.
pub(in crate::config) fn words_as_json(words: &str) -> serde_json::Value {
    serde_yaml::from_str(words).unwrap_or_default()
}
