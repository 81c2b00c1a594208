import {
  answerWith,
  representation,
  textAnswer,
  type Answer,
  type Representation,
  type Site,
  type SiteRequest,
} from "./answers.ts";
import { normalizeName } from "./documents.ts";
import { acceptedType, type SimpleType } from "./simple-accept.ts";
import {
  type ListedProject,
  newestSerial,
  pageHtml,
  pageJson,
  rootHtml,
  rootJson,
  type SimplePage,
} from "./simple-documents.ts";
import { CORS, EDGE } from "./edge.ts";

/** Recorded bytes to serve as they are. */
export interface RecordedPage {
  readonly json?: Buffer;
  readonly html?: Buffer;
  /** 1 where not given. */
  readonly serial?: number;
}

/** The Simple API as pypi.org's edge shows it (facts/pypi.md §2). */
export interface SimpleApi {
  readonly site: Site;
  /** Puts or replaces a project's page, under any spelling of its name; the root lists it as it is spelled here. */
  readonly simple: (name: string, page: SimplePage | RecordedPage) => void;
  readonly removeSimple: (name: string) => void;
}

interface Published {
  readonly listed: ListedProject;
  readonly json: Representation | undefined;
  readonly html: Representation | undefined;
}

const PAGE = /^\/simple\/([^/]+)(\/?)$/;

/** @param baseUrl for Locations, which are absolute (facts/pypi.md §2.2) */
export function createSimpleApi(baseUrl: () => string): SimpleApi {
  const pages = new Map<string, Published>();

  function root(type: SimpleType): Representation {
    const listed = [...pages.values()].map((page) => page.listed);
    const body = isJson(type) ? rootJson(listed) : rootHtml(listed);
    return pageOf(body, newestSerial(listed));
  }

  function page(request: SiteRequest, name: string): Answer {
    const found = pages.get(name);
    const type = acceptedType(request.headers.accept, request.url ?? request.path);
    const chosen = isJson(type) ? found?.json : found?.html;
    if (chosen === undefined) return textAnswer(404, "text/plain; charset=UTF-8", "404 Not Found", CORS);
    return answerAs(type, chosen, request);
  }

  return {
    site: (request) => {
      const { method, path } = request;
      if (path !== "/simple" && !path.startsWith("/simple/")) return undefined;
      if (method !== "GET" && method !== "HEAD") return methodNotAllowed();
      if (path === "/simple") return redirect(`${baseUrl()}/simple/`);
      if (path === "/simple/") {
        const type = acceptedType(request.headers.accept, request.url ?? path);
        return answerAs(type, root(type), request);
      }
      const [, typed = "", slash] = PAGE.exec(path) ?? [];
      if (slash === "") return redirect(`${baseUrl()}${path}/`);
      const name = normalizeName(typed);
      return name === typed ? page(request, name) : redirect(`${baseUrl()}/simple/${name}/`);
    },
    simple: (name, page) => {
      const made =
        "files" in page
          ? { json: pageJson(page), html: pageHtml(page), serial: page.meta["_last-serial"] }
          : page;
      const serial = made.serial ?? 1;
      pages.set(normalizeName(name), {
        listed: { name, serial },
        json: made.json && pageOf(made.json, serial),
        html: made.html && pageOf(made.html, serial),
      });
    },
    removeSimple: (name) => {
      pages.delete(normalizeName(name));
    },
  };
}

function isJson(type: SimpleType): boolean {
  return type === "application/vnd.pypi.simple.v1+json";
}

function pageOf(body: Buffer, serial: number): Representation {
  return representation(body, "", {
    ...CORS,
    ...EDGE,
    "cache-control": "max-age=600, public",
    "content-security-policy": "default-src 'none'; sandbox allow-top-navigation",
    vary: "Accept, Accept-Encoding",
    "x-pypi-last-serial": String(serial),
  });
}

/** text/html and v1+html are one object of the edge, under two names (facts/pypi.md §2.1). */
function answerAs(type: SimpleType, found: Representation, request: SiteRequest): Answer {
  return answerWith({ ...found, contentType: type }, request);
}

/** The name is not looked for: what does not exist is redirected too. */
function redirect(location: string): Answer {
  const headers = {
    ...CORS,
    location,
    "cache-control": "max-age=600, public",
    vary: "Accept, Accept-Encoding",
  };
  return textAnswer(301, "text/plain; charset=UTF-8", "301 Moved Permanently", headers);
}

function methodNotAllowed(): Answer {
  const headers = { allow: "GET, HEAD, OPTIONS" };
  return textAnswer(405, "text/plain; charset=UTF-8", "405 Method Not Allowed", headers);
}
