"""One generator of fake downloads per corpus; [`tests.fakes.fake.make_fake_corpus`] finds them by name."""
