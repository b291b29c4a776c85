"""The words of French."""

from __future__ import annotations

from apps.text2sql.pocket.languages.words.table import table_of_words

# Things: gender | singular | plural.
THINGS = table_of_words("""
label | m | label | labels
singer | m | chanteur | chanteurs
song | f | chanson | chansons
hall | f | salle | salles
band | m | groupe | groupes
concert | m | concert | concerts
teacher | m | professeur | professeurs
course | m | cours | cours
student | m | étudiant | étudiants
doctor | m | médecin | médecins
patient | m | patient | patients
visit | f | visite | visites
shop | m | magasin | magasins
product | m | produit | produits
sale | f | vente | ventes
author | m | auteur | auteurs
book | m | livre | livres
loan | m | prêt | prêts
airline | f | compagnie aérienne | compagnies aériennes
airport | m | aéroport | aéroports
flight | m | vol | vols
stadium | m | stade | stades
team | f | équipe | équipes
player | m | joueur | joueurs
film | m | film | films
cinema | m | cinéma | cinémas
screening | f | projection | projections
zoo | m | zoo | zoos
keeper | m | soigneur | soigneurs
animal | m | animal | animaux
restaurant | m | restaurant | restaurants
chef | m | chef | chefs
dish | m | plat | plats
bank | f | banque | banques
client | m | client | clients
account | m | compte | comptes
hotel | m | hôtel | hôtels
room | f | chambre | chambres
booking | f | réservation | réservations
museum | m | musée | musées
artist | m | artiste | artistes
painting | m | tableau | tableaux
farmer | m | agriculteur | agriculteurs
farm | f | ferme | fermes
brand | f | marque | marques
car | f | voiture | voitures
rental | f | location | locations
company | f | entreprise | entreprises
department | m | service | services
employee | m | employé | employés
station | f | gare | gares
train | m | train | trains
ticket | m | billet | billets
""")

# Columns: gender | singular | plural, or - for what is said in the singular | a number of things: the things.
COLUMNS = table_of_words("""
name | m | nom | noms
title | m | titre | titres
city | f | ville | villes
country | m | pays | pays
type | m | type | types
color | f | couleur | couleurs
genre | m | genre | genres
level | m | niveau | niveaux
date | f | date | dates
year | f | année | années
age | m | âge | -
price | m | prix | prix
salary | m | salaire | salaires
rating | f | note | notes
score | m | résultat | résultats
budget | m | budget | budgets
balance | m | solde | soldes
speed | f | vitesse | vitesses
floor | m | étage | étages
weight | m | poids | -
area | f | superficie | superficies
capacity | f | capacité | capacités
quantity | f | quantité | quantités
length | f | durée | durées
distance | f | distance | distances
goals | m | nombre de buts | - | buts
points | m | nombre de points | - | points
seats | m | nombre de places | - | places
pages | m | nombre de pages | - | pages
hours | m | nombre d'heures | - | heures
days | m | nombre de jours | - | jours
nights | m | nombre de nuits | - | nuits
stars | m | nombre d'étoiles | - | étoiles
visitors | m | nombre de visiteurs | - | visiteurs
calories | m | nombre de calories | - | calories
""")
