// Fails if a promise is left floating: a call whose promise is not awaited, returned or handled. Biome's rule does not know
// the types of Node's modules and of dependencies; TypeScript does.
import { join, relative } from 'node:path'
import ts from '@typescript/typescript6'

const root = join(import.meta.dirname, '../..')
const folder = join(root, process.argv[2] ?? '.')
const configFile = join(folder, 'tsconfig.json')
const { config } = ts.readConfigFile(configFile, ts.sys.readFile)
const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, folder)
const program = ts.createProgram(fileNames, options)
const checker = program.getTypeChecker()

const floating = program
  .getSourceFiles()
  .filter(({ fileName }) => !fileName.includes('node_modules'))
  .flatMap((file) => floatingIn(file))
for (const place of floating) console.error(`${place}: await the promise, or handle its rejection`)
console.log(`${floating.length} floating promises in ${fileNames.length} files`)
process.exitCode = floating.length === 0 && fileNames.length > (folder === join(root, '.') ? 400 : 5) ? 0 : 1

/** @returns the places in a file, as `path:line` */
function floatingIn(/** @type {ts.SourceFile} */ file) {
  /** @type {string[]} */
  const places = []
  /** @type {(node: ts.Node) => void} */
  const visit = (node) => {
    if (ts.isExpressionStatement(node) && isPromise(node.expression) && !isHandled(node.expression)) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart(file))
      places.push(`${relative(root, file.fileName)}:${line + 1}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return places
}

/** Whether the value is a promise, or may be one. */
function isPromise(/** @type {ts.Expression} */ expression) {
  const type = checker.getTypeAtLocation(expression)
  const types = type.isUnion() ? type.types : [type]
  return types.some((each) => each.symbol?.name === 'Promise')
}

/**
 * Whether it is assigned, or ends in `.catch(…)` or `.then(…, …)`.
 * @returns {boolean}
 */
function isHandled(/** @type {ts.Expression} */ expression) {
  if (ts.isBinaryExpression(expression) || ts.isAwaitExpression(expression)) return true
  if (!ts.isCallExpression(expression) || !ts.isPropertyAccessExpression(expression.expression)) return false
  const { name, expression: before } = expression.expression
  if (name.text === 'finally') return isHandled(before)
  return name.text === 'catch' || (name.text === 'then' && expression.arguments.length === 2)
}
