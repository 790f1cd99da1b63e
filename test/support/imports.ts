import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path/posix'
import { fileURLToPath } from 'node:url'
import ts from '@typescript/typescript6'

/** One `import`, `export … from` or `import()` of a source file. */
export interface Import {
  /** The importing file, relative to `src`. */
  readonly from: string
  /** The imported file, relative to `src`, or the name of a package. */
  readonly to: string
  readonly isType: boolean
  /** Whether it is an `import()`. */
  readonly isDynamic: boolean
}

const root = fileURLToPath(new URL('../../src', import.meta.url))

/** The text of all source files, by path relative to `src`. */
export const sources: ReadonlyMap<string, string> = new Map(
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => [name, readFileSync(join(root, name), 'utf8')]),
)

/** The imports of all source files, including type imports. */
export const imports: readonly Import[] = [...sources].flatMap(([from, text]) => importsOf(from, text))

/** Returns the imports in the text of a file. A statement that imports only types counts as a type import. */
export function importsOf(from: string, text: string): Import[] {
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, isType: boolean, isDynamic = false) => {
    if (!specifier) return
    if (!ts.isStringLiteralLike(specifier))
      throw new Error(`${from}: ${specifier.getText()} is not a literal`)
    found.push({ from, to: resolve(from, specifier.text), isType, isDynamic })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly ?? false)
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node)) add((node.argument as ts.LiteralTypeNode).literal, true)
    else if (ts.isModuleDeclaration(node)) add(node.name, true)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false, true)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(from, text, ts.ScriptTarget.ESNext, true))
  return found
}

function resolve(from: string, name: string): string {
  return name.startsWith('.') ? join(from, '..', name).replace(/\.js$/, '.ts') : name
}

/** Returns the cycles in a graph: every group of nodes that can reach each other. */
export function circles(edges: Iterable<readonly [string, string]>): string[][] {
  const targets = new Map<string, Set<string>>()
  for (const [from, to] of edges) {
    if (from !== to) targets.set(from, (targets.get(from) ?? new Set()).add(to))
  }
  const reach = new Map([...targets.keys()].map((node) => [node, reachable(node, targets)]))
  const cyclic = [...reach].filter(([node, nodes]) => nodes.has(node))
  const groups = cyclic.map(([node, nodes]) =>
    [...nodes].filter((other) => reach.get(other)?.has(node)).sort(),
  )
  return [...new Map(groups.map((group) => [group.join(' '), group])).values()]
}

function reachable(start: string, targets: ReadonlyMap<string, ReadonlySet<string>>): Set<string> {
  const seen = new Set<string>()
  const queue = [start]
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    for (const next of targets.get(node) ?? []) {
      if (seen.has(next)) continue
      seen.add(next)
      queue.push(next)
    }
  }
  return seen
}
