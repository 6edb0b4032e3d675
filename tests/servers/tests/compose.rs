//! The compose file says what it should; only a machine with containers can run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use yaml_rust2::{Yaml, YamlLoader};

fn strings(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_compose_file_offers_both_servers_on_loopback_only() {
    let documents = YamlLoader::load_from_str(include_str!("../compose.yaml")).unwrap();
    let services = documents[0]["services"].as_hash().unwrap();
    let names: Vec<&str> = services.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["zookeeper", "scylla"]);
    for service in services.values() {
        let image = service["image"].as_str().unwrap();
        assert!(image.contains(':') && !image.ends_with(":latest"), "{image} is pinned");
        assert!(strings(&service["ports"]).iter().all(|port| port.starts_with("127.0.0.1:")));
        assert_eq!(strings(&service["healthcheck"]["test"])[0], "CMD-SHELL");
    }
}
