"""What tests need to build kernel modules for the guests: `python -m tests.guest_kernel IMAGE_DIR` fetches it.

fetch     outside the lab, which has no network: the packages, unpacked beside the guest image
workshop  inside: builds the module in `vmtrial/` against them
"""
