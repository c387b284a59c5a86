"""The guest image: what is in it (`recipe`, `overlay`, `boot_sector`) and how it is built (`build`)."""
