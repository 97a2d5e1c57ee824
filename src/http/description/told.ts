/** Examples by name, each a JSON value; of a 204 there is none. */
export type Examples = Readonly<Record<string, unknown>>

/** What is told of an operation beside what its route says. */
export type Told = {
  /** The summary in Chinese. */
  zh: string
  body?: Examples
  /** The same for a table, as text by media type. */
  files?: Readonly<Record<string, string>>
  /** The query of the example request, as it stands behind the `?`. */
  query?: string
  /** What the example request has in its path, where it is not the rule. */
  path?: Readonly<Record<string, string>>
  ifMatch?: string
  /** By status, the successful ones. */
  answers: Readonly<Record<number, Examples>>
}

export type ToldOperations = Readonly<Record<string, Told>>

/** Two guides of the examples. */
export const lin = { guide_id: 'LLA3WJ6DSZUfiaZDS79FH5Wm5m4X69TBic', name: '林晓' }
export const chen = { guide_id: 'LLBk2VtQ9eYwZr4mPq7uXh3JdNs6fGc8Ta', name: '陈悦' }
