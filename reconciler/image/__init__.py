"""The guest image: its contents (`recipe`, `overlay`, `boot_sector`) and how it is built (`build`)."""
