const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._~:@/+=-]{0,127}$/u;

/** Whether a front end's `x-request-id` can be adopted: it goes into logs, headers and error pages as it is. */
export function isRequestId(value: string): boolean {
  return REQUEST_ID.test(value);
}
