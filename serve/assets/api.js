// Asks the API. Every refusal becomes an error with the server's own words.

const TIMEOUT_MS = 30_000;

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The answer to `GET /api/v1/<path>`. Parameters that are null are left out; an array is given once each. */
export function get(path, params = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(name, String(one));
    }
  }
  const text = query.toString();
  return ask(`api/v1/${path}${text ? `?${text}` : ""}`, { signal });
}

/** The answer to `POST /api/v1/<path>`. */
export function post(path, body) {
  return ask(`api/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function ask(url, options) {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  let response;
  try {
    response = await fetch(url, { ...options, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    if (limit.aborted) throw new ApiError(`no answer within ${TIMEOUT_MS / 1000} s`, 0);
    throw new ApiError("tidegauge cannot be reached", 0);
  }
  if (response.status === 401) {
    location.assign("login");
    throw new ApiError("a key is needed", 401);
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(answer?.error ?? `the answer was ${response.status}`, response.status);
  if (answer === null) throw new ApiError("the answer was not JSON", response.status);
  return answer;
}
