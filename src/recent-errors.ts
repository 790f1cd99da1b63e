/** The last error of the hosts that failed last: bounded, unlike the names that clients ask for. */
export class RecentErrors {
  readonly #errors = new Map<string, Error>()

  constructor(private readonly max: number) {}

  set(host: string, error: Error): void {
    this.#errors.delete(host)
    this.#errors.set(host, error)
    if (this.#errors.size <= this.max) return
    const [oldest] = this.#errors.keys()
    this.#errors.delete(oldest as string)
  }

  get(host: string): Error | undefined {
    return this.#errors.get(host)
  }

  delete(host: string): void {
    this.#errors.delete(host)
  }

  entries(): IterableIterator<[string, Error]> {
    return this.#errors.entries()
  }
}
