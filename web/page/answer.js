// The answer to a request, or nothing where none came.

/** Asks; gives the ServerFrame that answers, or undefined where the request failed. */
export async function answerTo(link, body) {
  try {
    return await link.request(body);
  } catch {
    return undefined;
  }
}
