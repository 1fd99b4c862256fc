/**
 * Score the open image with her2qp, from QuPath's script editor, and show the result.
 *
 * What it does
 *  1. saves the open image and the project;
 *  2. closes the project in QuPath while her2qp works on it: QuPath keeps a copy of the project in memory and would
 *     otherwise write it over her2qp's results;
 *  3. runs `her2qp score PROJECT --image NAME` and shows its output;
 *  4. opens the project and the image again, whatever happened.
 * Your annotations are not changed, except for added measurements whose names begin with "HER2 ". `her2qp undo PROJECT`
 * takes the last run back.
 *
 * How to run it
 *  - In QuPath's window: open a project and an image with annotated tumour, then Automate > Script editor, open this
 *    file, Run (not "Run for project").
 *  - From a terminal you need no QuPath: her2qp score PROJECT. If you want it all the same:
 *    QuPath script --project project.qpproj --image "slide 1.svs" run_her2qp.groovy
 *    and never with --save: QuPath would write its old copy over the result.
 *
 * her2qp must be installed. If QuPath does not find it, put the full path of the program below, for instance
 * '/home/me/her2qp/.venv/bin/her2qp' or 'C:\\Users\\me\\her2qp\\.venv\\Scripts\\her2qp.exe', or set the environment
 * variable HER2QP to it.
 *
 * QuPath 0.5 to 0.7. Research use only.
 */

import java.awt.image.BufferedImage
import java.util.concurrent.FutureTask
import qupath.lib.projects.ProjectIO

def program = System.getenv('HER2QP') ?: 'her2qp'
def options = args ? args as List : []     // more options of `her2qp score`, such as ['--class', 'Tumor']

def project = getProject()
def entry = getProjectEntry()
def imageData = getCurrentImageData()
if (project == null || entry == null) {
    println 'Open a project and one of its images, and run this script again.'
    return
}
def gui = getQuPath()
def viewer = gui?.getAllViewers()?.find { it.imageData.is(imageData) }
if (gui != null && viewer == null) {
    println 'Use "Run", not "Run for project": to score all images at once, run her2qp score in a terminal.'
    return
}

def projectFile = project.path.toFile()
def imageId = entry.ID
// her2qp takes a pattern: brackets, stars and question marks of the name stand for themselves
def pattern = entry.imageName.replaceAll(/[\[*?]/) { "[${it}]" }
def command = [program, 'score', projectFile.absolutePath, '--image', pattern, *options].collect { it as String }

def explain = { int code ->
    switch (code) {
        case 0: return 'All done.'
        case 1: return 'The image could not be scored; the reason is above. Nothing of it was changed.'
        case 2: return 'her2qp cannot use this project, image or model as it is; the reason is above. Nothing was changed.'
        default: return "her2qp stopped unexpectedly (exit code ${code})."
    }
}
def score = {
    println command.join(' ')
    try {
        def process = new ProcessBuilder(command).redirectErrorStream(true).start()
        process.outputStream.close()
        process.inputStream.eachLine('UTF-8') { println it }
        println explain(process.waitFor())
    } catch (IOException e) {
        println "The program '${program}' could not be started (${e.message}). Install her2qp, or name its full path at the top of this script."
    }
}

if (gui == null) {
    score()
    println 'Do not save this image from the same run (no --save): QuPath still holds it as it was.'
    return
}

def inWindow = { Closure action ->
    def task = new FutureTask(action)
    javafx.application.Platform.runLater(task)
    task.get()
}
entry.saveImageData(imageData)
project.syncChanges()
inWindow { gui.setProject(null) }
if (gui.getProject() != null) {
    println 'The project is still open, because saving was cancelled. Nothing was done.'
    return
}
try {
    score()
} finally {
    inWindow {
        def fresh = ProjectIO.loadProject(projectFile, BufferedImage)
        gui.setProject(fresh)
        gui.openImageEntry(fresh.imageList.find { it.ID == imageId })
    }
}
