/** How one client is pointed at larder. */
export interface Snippet {
  readonly client: string;
  /** What to run, or what to write where. */
  readonly text: string;
}

/**
 * How each client is pointed at larder: each of these is what test/clients runs.
 * @param base larder's public URL, without a slash at the end
 */
export function snippets(base: string): readonly Snippet[] {
  const index = `${base}/simple/`;
  return [
    {
      client: "pip",
      text: `pip config set global.index-url ${index}
pip config set global.trusted-host ${hostOf(base)}   # plain http only: lets pip cache
# or for one command: PIP_INDEX_URL=${index} pip install demo`,
    },
    {
      client: "uv",
      text: `# pyproject.toml
[[tool.uv.index]]
name = "larder"
url = "${index}"
default = true
# or for one command: UV_DEFAULT_INDEX=${index} uv pip install demo`,
    },
    {
      client: "poetry",
      text: `# pyproject.toml
[[tool.poetry.source]]
name = "larder"
url = "${index}"
priority = "primary"`,
    },
    {
      client: "pdm",
      text: `# pyproject.toml
[[tool.pdm.source]]
name = "pypi"
url = "${index}"
# or: pdm config pypi.url ${index}`,
    },
    {
      client: "pipenv",
      text: `# Pipfile (no slash at the end)
[[source]]
name = "larder"
url = "${base}/simple"
verify_ssl = false`,
    },
    { client: "pip-tools", text: `pip-compile --generate-hashes -i ${base}/simple requirements.in` },
    { client: "hatch", text: `PIP_INDEX_URL=${index} hatch run python -V` },
    { client: "pypi-simple", text: `PyPISimple("${index}")` },
    { client: "johnnydep", text: `johnnydep demo --index-url ${index}` },
    {
      client: "bandersnatch",
      text: `# bandersnatch.conf
[mirror]
master = ${base}
allow-non-https = true
api-method = simple
json = true`,
    },
    {
      client: "renovate",
      text: `{ "packageRules": [{ "matchDatasources": ["pypi"], "registryUrls": ["${index}"] }] }`,
    },
    {
      client: "pip-audit",
      text: `# its host is fixed: it works where the name pypi.org leads to larder, behind a TLS front
REQUESTS_CA_BUNDLE=front-ca.pem pip-audit`,
    },
  ];
}

function hostOf(base: string): string {
  return new URL(base).hostname;
}
