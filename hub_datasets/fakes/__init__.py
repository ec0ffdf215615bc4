"""One generator of fake downloads per corpus; [`hub_datasets.fake.make_fake_corpus`] finds them by name."""
