//! What `cql.replication` says.

use storage::cql::driver::Replication;

/// One number, or each datacenter with its own.
pub fn read(text: &str) -> Result<Replication, String> {
    if !text.contains(':') {
        return count(text).map(Replication::Simple);
    }
    let each = text.split(',').map(|part| {
        let (name, copies) = part.split_once(':').ok_or_else(|| wrong(text))?;
        if name.trim().is_empty() { Err(wrong(text)) } else { Ok((name.trim().to_owned(), count(copies)?)) }
    });
    each.collect::<Result<_, _>>().map(Replication::Datacenters)
}

fn count(text: &str) -> Result<u8, String> {
    let count = text.trim().parse::<u8>().ok().filter(|count| *count > 0);
    count.ok_or_else(|| wrong(text))
}

fn wrong(text: &str) -> String {
    format!(
        "cql.replication: \"{text}\" is neither a number such as \"3\" nor a list such as \"dc1:3, dc2:3\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_list() {
        assert_eq!(read("3"), Ok(Replication::Simple(3)));
        let each = vec![("dc1".to_owned(), 3), ("east".to_owned(), 2)];
        assert_eq!(read("dc1:3, east: 2"), Ok(Replication::Datacenters(each)));
        for wrong in ["", "0", "-1", "three", "dc1", "dc1:", ":3", "dc1:3,", "dc1:300"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
