/** A map of the latest `max` entries: bounded, unlike the names that clients ask for. */
export class Recent<V> {
  readonly #values = new Map<string, V>()

  private readonly max: number

  constructor(max: number) {
    this.max = max
  }

  set(key: string, value: V): void {
    this.#values.delete(key)
    this.#values.set(key, value)
    if (this.#values.size <= this.max) return
    const [oldest] = this.#values.keys()
    this.#values.delete(oldest as string)
  }

  get(key: string): V | undefined {
    return this.#values.get(key)
  }

  delete(key: string): void {
    this.#values.delete(key)
  }

  entries(): IterableIterator<[string, V]> {
    return this.#values.entries()
  }
}
