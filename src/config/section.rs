//! A section of the configuration.

use super::setting::{Fault, Value};

/// What the loader and the template need of a section. `section!` writes it.
pub trait Section {
    /// The lines above the section in the default file.
    fn doc(&self) -> &'static [&'static str];
    /// Every key, in the order of the file.
    fn fields(&self) -> Vec<Field>;
    /// Reads one value; `None` for a key the section does not have.
    fn set(&mut self, key: &str, value: &Value<'_>) -> Option<Result<(), Vec<Fault>>>;
}

/// One key of a section.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub doc: &'static [&'static str],
    /// The value now, as TOML.
    pub shown: String,
    /// The allowed numbers, for people; empty where all are.
    pub range: String,
}

/// Declares a section: a struct, its `Default` and its [`Section`].
///
/// `name: Type = default;` or `name: Type = default, in low..=high;` after the doc that the default file shows.
macro_rules! section {
    ($(#[doc = $doc:literal])+ pub struct $section:ident {
        $($(#[doc = $field_doc:literal])+ $name:ident : $type:ty = $default:expr $(, in $range:expr)?;)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section { $($(#[doc = $field_doc])+ pub $name: $type,)+ }

        impl Default for $section {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl $crate::config::section::Section for $section {
            fn doc(&self) -> &'static [&'static str] {
                &[$($doc),+]
            }

            fn fields(&self) -> Vec<$crate::config::section::Field> {
                vec![$($crate::config::section::Field {
                    name: stringify!($name),
                    doc: &[$($field_doc),+],
                    shown: $crate::config::setting::Setting::show(&self.$name),
                    range: String::new() $(+ &$crate::config::setting::range_text::<$type>(&$range))?,
                },)+]
            }

            fn set(
                &mut self,
                key: &str,
                value: &$crate::config::setting::Value<'_>,
            ) -> Option<Result<(), Vec<$crate::config::setting::Fault>>> {
                match key {
                    $(stringify!($name) => {
                        let read = <$type as $crate::config::setting::Setting>::read(value);
                        $(let read = read.and_then(|number| {
                            $crate::config::setting::within(number, $range, value.span())
                        });)?
                        Some(read.map(|read| self.$name = read))
                    })+
                    _ => None,
                }
            }
        }
    };
}
pub(super) use section;
