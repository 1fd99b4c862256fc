/**
 * Colour her2qp's tiles by their attention, on a fixed scale from 0 to 1: the rank of a tile within its own image.
 *
 * "HER2 attention" is the percentile of a tile among the tiles of its image: 1 is the tile that the model looked at
 * most. It says where the model looked, not how strongly a cell would stain, and it is not evidence for a class.
 *
 * How to run it
 *  - In QuPath's window: open a scored image, then Automate > Script editor, open this file, Run.
 *    To get the colours of the classes back: Measure > Show measurement maps, close that window, or run this script
 *    again with show = false below.
 *  - From a terminal (QuPath script): there is nothing to colour; the script says so and changes nothing.
 *
 * QuPath 0.5 to 0.7.
 */

import qupath.lib.color.ColorMaps
import qupath.lib.gui.tools.MeasurementMapper

// What to show. Any other measurement of 0 to 1 works as well, such as 'HER2 p(3+)' or 'HER2 p(positive)'.
def show = true
def measurement = 'HER2 attention'
def colorMap = 'Viridis'
def opacity = 0.6f

def gui = getQuPath()
if (gui == null) {
    println 'This script colours tiles in the window of QuPath; from a terminal it has nothing to do.'
    return
}
def hierarchy = getCurrentHierarchy()
if (hierarchy == null) {
    println 'No image is open: open a scored image, and run this script again.'
    return
}
def tiles = hierarchy.getDetectionObjects().findAll { it.isTile() && it.measurementList.containsKey(measurement) }
if (show && tiles.isEmpty()) {
    println "No tile of this image has the measurement '${measurement}': score it first (her2qp score, or run_her2qp.groovy)."
    return
}

def options = gui.getOverlayOptions()
javafx.application.Platform.runLater {
    if (!show) {
        options.resetMeasurementMapper()
        return
    }
    def mapper = new MeasurementMapper(ColorMaps.getColorMaps()[colorMap] ?: ColorMaps.getDefaultColorMap(), measurement, tiles)
    mapper.setDisplayMinValue(0)
    mapper.setDisplayMaxValue(1)
    options.setMeasurementMapper(mapper)
    options.setShowDetections(true)
    options.setFillDetections(true)
    options.setOpacity(opacity)
}
println show ? "${tiles.size()} tiles coloured by '${measurement}', 0 to 1." : 'Tiles have the colours of their classes again.'
