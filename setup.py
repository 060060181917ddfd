"""`settings.ini` 하나만 읽어서 패키지를 꾸립니다. 여기에는 고칠 값이 없습니다."""

from configparser import ConfigParser
from pathlib import Path

import setuptools

ROOT = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(ROOT / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

EXTRAS = {
    key.removesuffix("_requirements"): value.split()
    for key, value in cfg.items()
    if key.endswith("_requirements")
}
STATUS = {
    "1": "1 - Planning",
    "2": "2 - Pre-Alpha",
    "3": "3 - Alpha",
    "4": "4 - Beta",
    "5": "5 - Production/Stable",
}
PACKAGE = cfg["lib_path"]
NOTEBOOKS = f"{PACKAGE}.notebooks"  # nbs/의 노트북을 옮기지 않고 그대로 휠에 담습니다.

setuptools.setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0 AND CC-BY-4.0 AND CC-BY-SA-4.0 AND CC0-1.0 AND MIT AND OFL-1.1",
    license_files=[
        "LICENSE",
        "LICENSE-CC-BY-4.0",
        f"{PACKAGE}/fonts/OFL.txt",
        f"{PACKAGE}/data/*/LICENSE",
        f"{PACKAGE}/models/*/NOTICE",
    ],
    keywords=cfg["keywords"].split(),
    classifiers=[
        f"Development Status :: {STATUS[cfg['status']]}",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require=EXTRAS,
    packages=[PACKAGE, f"{PACKAGE}.core", f"{PACKAGE}.checks", NOTEBOOKS],
    package_dir={PACKAGE: PACKAGE, NOTEBOOKS: "nbs"},
    package_data={
        PACKAGE: ["py.typed", "*.pyi", "data/**/*", "models/**/*", "fonts/*", "web/*"],
        NOTEBOOKS: ["**/*.ipynb"],
    },
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    zip_safe=False,
)
