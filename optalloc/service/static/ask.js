// Questions to the service, with the token of this tab.

const KEPT = "optalloc-token";
let token = sessionStorage.getItem(KEPT) ?? "";
const known = new Map();

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function useToken(given) {
  token = given;
  known.clear();
  if (given) sessionStorage.setItem(KEPT, given);
  else sessionStorage.removeItem(KEPT);
}

export const hasToken = () => token !== "";

// The answer, or null where it is the same as before.
export async function ask(path, body) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body === undefined && known.has(path)) headers["If-None-Match"] = known.get(path);
  const how = { headers, cache: "no-store", credentials: "omit" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(how, { method: "POST", body });
  }
  const answer = await fetch(path, how);
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Refused(answer.status, await said(answer));
  const told = await answer.json();
  const tag = answer.headers.get("ETag");
  if (body === undefined && tag) known.set(path, tag);
  return told;
}

export const forgetAnswer = (path) => known.delete(path);

async function said(answer) {
  try {
    return (await answer.json()).message ?? answer.statusText;
  } catch {
    return answer.statusText;
  }
}
