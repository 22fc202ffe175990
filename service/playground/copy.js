// The request as code: curl, the Python client, the TypeScript client.

import { button, h, openDialog } from "./dom.js";

const PICTURE = "photo.jpg";

/** Open a dialog with the request in three forms. */
export function copyAsCode(request) {
  const forms = { curl: curl(request), Python: python(request), TypeScript: typescript(request) };
  const code = h("pre", { tabindex: "0" });
  const told = h("p", { role: "status", class: "told" });
  const choose = (name) => {
    code.textContent = forms[name];
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === name));
    told.textContent = "";
  };
  const tabs = Object.keys(forms).map((name) => button(name, () => choose(name), { class: "tab" }));
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      told.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      told.textContent = "The browser does not let the page copy: it is selected, press Ctrl-C.";
    }
  }, { class: "main" });
  choose("curl");
  const hint = request.body?.picture
    ? h("p", { class: "told", text: `The picture stands in a file, ${PICTURE}.` }) : null;
  return openDialog("This request as code", h("div", { class: "tabs", role: "group", "aria-label": "Form" }, tabs), code,
    hint ?? "", h("p", {}, copy, " ", told));
}

const plain = ({ body }) => {
  const { picture: _, ...rest } = body;
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== ""));
};
const origin = () => location.origin + location.pathname.replace(/\/(v1\/?)?$/, "");
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export function curl(request) {
  const headers = request.arm ? ` \\\n  -H ${quoted("X-Experiment: " + request.arm)}` : "";
  if (!request.body) return `curl -s ${quoted(`${origin()}/v1/${request.path}`)}${headers}`;
  const json = JSON.stringify(plain(request));
  const start = `curl -s ${origin()}/v1/recall -H 'Content-Type: application/json'${headers}`;
  if (!request.body.picture) return `${start} \\\n  -d ${quoted(json)}`;
  const open = json === "{}" ? "{" : json.slice(0, -1) + ",";
  return `{ printf %s ${quoted(open + '"picture":"')}; base64 < ${PICTURE} | tr -d '\\n'; printf '"}'; } |\n  ${start} -d @-`;
}

function literal(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${literal(v)}`).join(", ")}}`;
  return JSON.stringify(value);
}

export function python(request) {
  const loop = '    for item in answer["items"]:\n        print(item["item_id"], item["score"])\n';
  const arm = request.arm ? `# The client chooses no arms; send X-Experiment: ${request.arm} with httpx where you need one.\n` : "";
  if (!request.body) {
    const { id, given } = similarOf(request);
    const more = Object.entries(given).map(([name, value]) => `, ${name}=${literal(value)}`).join("");
    return `from mrse_client import Client\n\n${arm}with Client(${literal(origin())}) as client:\n    answer = client.similar(${literal(id)}${more})\n${loop}`;
  }
  const fields = Object.entries(plain(request)).map(([name, value]) => `        ${name}=${literal(value)},\n`);
  const picture = request.body.picture;
  if (picture) fields.push("        picture=picture,\n");
  const reads = picture ? `import base64\nfrom pathlib import Path\n\n` : "";
  const file = picture ? `picture = base64.b64encode(Path(${literal(PICTURE)}).read_bytes()).decode()\n` : "";
  return `${reads}from mrse_client import Client\n\n${arm}${file}with Client(${literal(origin())}) as client:\n    answer = client.recall(\n${fields.join("")}    )\n${loop}`;
}

export function typescript(request) {
  const made = `const client = new Client(${JSON.stringify(origin())});\n`;
  const loop = "for (const item of answer.items) console.log(item.item_id, item.score);\n";
  const arm = request.arm ? `// The client chooses no arms; send X-Experiment: ${request.arm} with fetch where you need one.\n` : "";
  if (!request.body) {
    const { id, given } = similarOf(request);
    return `import { Client } from "mrse-client";\n\n${arm}${made}const answer = await client.similar(${JSON.stringify(id)}, ${JSON.stringify(given)});\n${loop}`;
  }
  const picture = request.body.picture;
  const reads = picture ? `import { readFileSync } from "node:fs";\n` : "";
  const body = JSON.stringify(plain(request), null, 2);
  const whole = picture ? body.replace(/\n}$/, `,\n  "picture": readFileSync("${PICTURE}").toString("base64")\n}`) : body;
  return `${reads}import { Client } from "mrse-client";\n\n${arm}${made}const answer = await client.recall(${whole});\n${loop}`;
}

function similarOf({ path }) {
  const [, id, query] = path.match(/^items\/(.*)\/similar\?(.*)$/);
  const given = Object.fromEntries(new URLSearchParams(query));
  return { id: decodeURIComponent(id), given: {
    k: Number(given.k), timeout_ms: Number(given.timeout_ms), ...(given.filters ? { filters: JSON.parse(given.filters) } : {}),
  } };
}
